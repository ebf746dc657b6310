"""Use cases of archives: many files in one request, as a tar stream."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

import structlog

from headrace.common.contracts.http.folders import ArchiveReceipt
from headrace.common.contracts.ids import new_uuid
from headrace.common.contracts.problems import QuotaExceeded
from headrace.common.db.pool import Pool, transaction
from headrace.common.runtime.clock import Monotonic
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import FilesState
from headrace.manager.domain.paths import split_path
from headrace.manager.domain.records.events import Scope
from headrace.manager.domain.records.folders import Folder
from headrace.manager.domain.storage_usage import StorageUsage
from headrace.manager.folders.file_identity import FileIdentity
from headrace.manager.folders.packing import Packer
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.folders.unpacking import Unpacker
from headrace.manager.usecases.context import record_of
from headrace.manager.usecases.folders import Folders
from headrace.manager.usecases.project_limiter import ProjectLimiter
from headrace.manager.usecases.receiving import receive
from headrace.manager.usecases.storage_account import StorageAccount
from headrace.manager.views.archives import archive_receipt

log = structlog.get_logger()
READ_AT_ONCE = 4
"""Archives of a project sent concurrently."""
_STEP = StorageUsage(bytes=64 * 1024 * 1024, files=1000)
"""Amount reserved at once."""
_MIN_ENTRY_BYTES = 512
_COUNTED_EVERY_S = 300.0


class Archives:
    """Use cases of archives of folders' files. `idle_s`: timeout for the next bytes of a sender."""

    def __init__(
        self,
        pool: Pool,
        storage: FolderStorage,
        folder_cases: Folders,
        account: StorageAccount,
        *,
        max_bytes: int,
        idle_s: float = 60.0,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._pool = pool
        self._storage = storage
        self._folders = folder_cases
        self._account = account
        self._max_bytes = max_bytes
        self._monotonic = monotonic
        self._idle_s = idle_s
        self._turns = ProjectLimiter()
        self._readers = ProjectLimiter(at_once=READ_AT_ONCE)

    async def take(
        self,
        actor: Actor,
        reference: str,
        project: str | None,
        path: str,
        body: AsyncIterator[bytes],
        length: int | None,
    ) -> ArchiveReceipt:
        """Unpack the tar stream `body` below `path`, each file as soon as it is complete; return counts and refused entries.

        `length`: of the body, as far as it was announced. Raises NotFound (also when the folder is deleted meanwhile),
        Forbidden, InvalidRequest for what is not a tar archive, TooLarge, QuotaExceeded and InsufficientStorage before
        the content of the file that does not fit is read, Unavailable; files that came before stay.
        """
        into = split_path(path, empty=True)
        folder = await self._folders.find(actor, reference, project, "write")
        reservation = new_uuid()
        async with self._turns.of(folder.project_id):
            unpacker = Unpacker(
                self._storage.tree(folder.id),
                self._storage.partials,
                self._storage.flushing,
                new_uuid,
                into=into,
                max_bytes=self._max_bytes,
                hashed=partial(self._hashed, folder),
            )
            try:
                await self._take(folder, reservation, unpacker, body, _step(length))
                return archive_receipt(unpacker.finish())
            finally:
                await self._storage.close(unpacker)
                await self._record(actor, folder, reservation, path, unpacker)

    def _hashed(self, folder: Folder, digests: Sequence[tuple[FileIdentity, str]]) -> None:
        if folder.usage_mode == "model":  # only those are pinned by revisions
            self._storage.snapshots.known.add(folder.id, digests)

    @asynccontextmanager
    async def read(
        self, actor: Actor, reference: str, project: str | None, path: str, paths: Sequence[str] | None = None
    ) -> AsyncIterator[tuple[str, AsyncIterator[bytes]]]:
        """Yield the name of the folder, and a tar stream of `path` in it, or of the files at `paths`.

        An error in the stream (Unavailable, a truncated file) leaves an archive without its end marker. Raises
        NotFound, Conflict, InvalidRequest; Unavailable at the project's limit of concurrent reads.
        """
        below = split_path(path, empty=True)
        chosen = [split_path(one, field="paths") for one in paths] if paths is not None else None
        folder = await self._folders.find(actor, reference, project, "read")
        packer = Packer(self._storage.tree(folder.id), below, paths=chosen)
        end = await self._readers.take(folder.project_id)
        try:
            yield folder.name, await self._started(folder, packer)
        finally:
            end()
            await self._storage.close(packer)

    async def _started(self, folder: Folder, packer: Packer) -> AsyncIterator[bytes]:
        """Return the stream, with its first piece read: errors of that are raised here, before the answer has begun."""
        first = await self._storage.call(packer.piece)

        async def pieces() -> AsyncIterator[bytes]:
            piece = first
            while piece:
                yield piece
                piece = await self._storage.call(packer.piece)
            if packer.left_out_count:
                log.info("archive_entries_skipped", folder=str(folder.id), entries=packer.left_out_count)

        return pieces()

    async def _take(
        self, folder: Folder, reservation: UUID, unpacker: Unpacker, body: AsyncIterator[bytes], step: StorageUsage
    ) -> None:
        counted_at = self._monotonic()

        async def take(data: bytes) -> None:
            nonlocal counted_at
            needed = await self._storage.call(partial(unpacker.feed, data))
            if not needed and self._monotonic() - counted_at > _COUNTED_EVERY_S:
                await self._account.touch(folder, reservation)
                counted_at = self._monotonic()
            while needed:
                try:
                    unpacker.allow(await self._account.reserve(folder, reservation, needed, step=step))
                except QuotaExceeded as problem:
                    raise QuotaExceeded(problem.detail + unpacker.so_far(), **problem.extra) from None
                counted_at = self._monotonic()
                needed = await self._storage.call(partial(unpacker.feed, b""))

        await receive(body, take, idle_s=self._idle_s, kept="whole files are in their places")

    async def _record(self, actor: Actor, folder: Folder, reservation: UUID, path: str, taken: Unpacker) -> None:
        if not taken.granted:
            return
        details: dict[str, Any] = {
            "folder": folder.name,
            "folder_id": str(folder.id),
            "path": path,
            "files": taken.files,
            "directories": taken.directories,
            "bytes": taken.bytes,
            "refused": taken.refused_count,
        }
        async with transaction(self._pool) as con:
            await self._account.settle(con, folder, reservation, taken.change)
            if taken.files or taken.directories:
                after, scope = FilesState(path=path, files=taken.files, bytes=taken.bytes), Scope(folder.project_id)
                await record_of(con, actor, "files.uploaded", scope, before=None, after=after, **details)


def _step(length: int | None) -> StorageUsage:
    """Return the amount to reserve at once: all of a small archive."""
    if length is None:
        return _STEP
    return StorageUsage(min(_STEP.bytes, length), min(_STEP.files, length // _MIN_ENTRY_BYTES))
