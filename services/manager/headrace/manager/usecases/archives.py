"""Many files in one request: a tar stream into a folder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

from headrace.common.contracts.http.folders import ArchiveReceipt
from headrace.common.contracts.ids import new_uuid
from headrace.common.contracts.problems import InvalidRequest
from headrace.common.db.pool import Pool, transaction
from headrace.manager.domain.access import Actor
from headrace.manager.domain.paths import split_path
from headrace.manager.domain.records import Folder
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.folders.unpacking import Unpacker
from headrace.manager.store import events
from headrace.manager.usecases.folders import Folders
from headrace.manager.usecases.turns import Turns

_FED_BYTES = 1024 * 1024
"""Handed to a thread at once."""


class Archives:
    """Archives of folders' files. `idle_s`: how long a sender may be silent."""

    def __init__(
        self, pool: Pool, storage: FolderStorage, folder_cases: Folders, *, max_bytes: int, idle_s: float = 60.0
    ) -> None:
        self._pool = pool
        self._storage = storage
        self._folders = folder_cases
        self._max_bytes = max_bytes
        self._idle_s = idle_s
        self._turns = Turns()

    async def take(
        self, actor: Actor, reference: str, project: str | None, path: str, body: AsyncIterator[bytes]
    ) -> ArchiveReceipt:
        """Put the files of the tar stream `body` below `path`, each as soon as it is whole, and say what was refused and why.

        Raises NotFound, Forbidden, InvalidRequest for what is no tar archive, TooLarge, InsufficientStorage, Unavailable;
        files that came before stay.
        """
        into = split_path(path, empty=True)
        folder = await self._folders.find(actor, reference, project, "member")
        async with self._turns.of(folder.project_id):
            unpacker = Unpacker(
                self._storage.tree(folder.id), self._storage.partials, new_uuid, into=into, max_bytes=self._max_bytes
            )
            try:
                await self._feed(unpacker, body)
                return unpacker.finish()
            finally:
                await self._storage.call(unpacker.close)
                await self._record(actor, folder, path, unpacker)

    async def _feed(self, unpacker: Unpacker, body: AsyncIterator[bytes]) -> None:
        held: list[bytes] = []
        size = 0
        while True:
            try:
                async with asyncio.timeout(self._idle_s):
                    chunk = await anext(body, None)
            except TimeoutError:
                raise InvalidRequest(
                    f"nothing arrived for {self._idle_s:g} s; whole files are in their places"
                ) from None
            if chunk is not None:
                held.append(chunk)
                size += len(chunk)
            if size >= _FED_BYTES or (chunk is None and held):
                await self._storage.call(partial(unpacker.feed, b"".join(held)))
                held, size = [], 0
            if chunk is None:
                return

    async def _record(self, actor: Actor, folder: Folder, path: str, taken: Unpacker) -> None:
        if not taken.files and not taken.directories:
            return
        details = {
            "folder": folder.name, "folder_id": str(folder.id), "path": path, "files": taken.files,
            "directories": taken.directories, "bytes": taken.bytes, "refused": taken.refused_count,
        }  # fmt: skip
        async with transaction(self._pool) as con:
            await events.record(con, actor, "files.uploaded", project_id=folder.project_id, details=details)
