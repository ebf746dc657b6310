"""Importer: fetches the files of one version of a model, and pins them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Final

import aiohttp

from headrace.common.contracts.ids import SnapshotId
from headrace.common.contracts.problems import NotFound
from headrace.common.db.pool import Pool, transaction
from headrace.common.runtime.clock import Monotonic
from headrace.manager.domain.model_import import Import
from headrace.manager.domain.model_source import Listing, SourceError
from headrace.manager.domain.storage_usage import StorageChange, StorageUsage
from headrace.manager.folders.staging import StagedFile, Staging
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.secret_keys import SecretKeys
from headrace.manager.sources.credentials import Credential, credential_of
from headrace.manager.sources.source import Source, Sources
from headrace.manager.sources.web import broken_in_words
from headrace.manager.store import folders, secrets
from headrace.manager.usecases.storage_account import StorageAccount

FILES_AT_ONCE: Final = 4
"""Files of one import that are fetched at a time."""
_PIECE_BYTES: Final = 2 * 2**20
_PUBLISHING_S: Final = 3600.0
_READING_S: Final = 3600.0
"""An incomplete file is read for its digest before it is continued."""


class Progress:
    """Progress of an import."""

    def __init__(self, monotonic: Monotonic) -> None:
        self.done_bytes = 0
        self.fetched_bytes = 0
        self._monotonic = monotonic
        self._since: float | None = None

    def moved(self, size: int) -> None:
        """Count fetched bytes."""
        if self._since is None:
            self._since = self._monotonic()
        self.done_bytes += size
        self.fetched_bytes += size

    def bytes_per_s(self) -> float | None:
        """Return the rate since the first byte; None before."""
        took = 0.0 if self._since is None else self._monotonic() - self._since
        return self.fetched_bytes / took if took > 0 else None


class Importer:
    """Runs imports. What was fetched stays when one ends early, and is continued."""

    def __init__(
        self,
        pool: Pool,
        storage: FolderStorage,
        sources: Sources,
        account: StorageAccount,
        keys: SecretKeys,
        monotonic: Monotonic,
    ) -> None:
        self._pool = pool
        self._keys = keys
        self._storage = storage
        self._sources = sources
        self._account = account
        self._monotonic = monotonic

    async def run(self, one: Import, progress: Progress) -> SnapshotId:
        """Import, and return the snapshot. Raises SourceError; QuotaExceeded, InsufficientStorage and other Problems."""
        staging = self._storage.staging(one.id, one.folder_id)
        own = await self._own_credential(one)
        async with self._sources.opened(one.uri, one.project, own) as source:
            listing = await source.listing(one.version)
            prepared = await self._storage.call(partial(staging.prepare, listing), timeout_s=_READING_S)
            progress.done_bytes = listing.size_bytes - prepared.missing_bytes
            await self._reserve(one, StorageUsage(prepared.new_bytes, one.files))
            try:
                await self._fetch(source, staging, listing, prepared.missing, progress)
                return await self._storage.call(partial(staging.publish, listing), timeout_s=_PUBLISHING_S)
            finally:
                await self._settle(one, staging.change)

    async def _own_credential(self, one: Import) -> Credential | None:
        """Return the credential that the secret of the newest service with this model is; None without one. Raises SourceError."""
        async with self._pool.acquire() as con:
            key = await secrets.of_import(con, one.id)
            sealed = {} if key is None else await secrets.sealed(con, [key])
        if key is None:
            return None
        found = credential_of(one.uri, self._keys.open(sealed[key], *key)) if key in sealed else None
        if found is None:
            raise SourceError("the secret with which it is fetched is gone, or has another form", lasting=True)
        return found

    async def clean(self, one: Import) -> None:
        """Remove what an import that ended no longer needs."""
        await self._storage.call(self._storage.staging(one.id, one.folder_id).remove, timeout_s=_PUBLISHING_S)

    async def _reserve(self, one: Import, needed: StorageUsage) -> None:
        """Reserve its room of the quota under its own id; an attempt of a manager that was killed may have done so before."""
        await self._settle(one, StorageChange())
        async with self._pool.acquire() as con:
            folder = await folders.by_id(con, one.folder_id)
        if folder is None:
            raise NotFound("the folder of the model is gone")
        await self._account.reserve(folder, one.id, needed, step=needed)

    async def _settle(self, one: Import, change: StorageChange) -> None:
        async with transaction(self._pool) as con:
            await folders.settle(con, one.folder_id, one.id, change)

    async def _fetch(
        self, source: Source, staging: Staging, listing: Listing, missing: Sequence[int], progress: Progress
    ) -> None:
        """Fetch the missing files, some at a time. Raises the first error."""
        numbers = iter(missing)

        async def some() -> None:
            for number in numbers:  # shared by all
                await self._file(source, staging, listing, number, progress)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(FILES_AT_ONCE, len(missing))):
                    group.create_task(some(), name="files of an import")
        except BaseExceptionGroup as group_of_errors:
            raise group_of_errors.exceptions[0] from None

    async def _file(self, source: Source, staging: Staging, listing: Listing, number: int, progress: Progress) -> None:
        file, call = listing.files[number], self._storage.call
        staged = await call(partial(staging.open, listing, number), timeout_s=_READING_S, unclaimed=StagedFile.close)
        try:
            if staged.size_bytes and not (file.etag or file.sha256 or file.git_sha1):
                progress.done_bytes -= staged.size_bytes
                await call(staged.restart)  # nothing would say that the rest is of the same content
            if staged.size_bytes < file.size_bytes:
                async with source.opened(file, staged.size_bytes) as response:
                    async for piece in _pieces(response.content):
                        await call(partial(staged.write, piece))
                        progress.moved(len(piece))
            await call(staged.finish)
        finally:
            self._storage.let_go(staged)


async def _pieces(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield the content in pieces that are worth a write. Raises SourceError where it breaks off."""
    gathered = bytearray()
    broken: SourceError | None = None
    try:
        async for part in content.iter_any():
            gathered += part
            if len(gathered) >= _PIECE_BYTES:
                yield bytes(gathered)
                gathered.clear()
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        broken = SourceError(f"the connection broke: {broken_in_words(error)}", lasting=False)
    if gathered:
        yield bytes(gathered)
    if broken is not None:
        raise broken
