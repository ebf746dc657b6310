"""Imports loop: brings the files of model URIs into their folders, and pins them for the revisions that wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Final

import structlog

from headrace.common.contracts.ids import FolderId, SnapshotId, new_uuid
from headrace.common.contracts.problems import Problem
from headrace.common.db.pool import Pool, transaction
from headrace.common.runtime.cancelling import cancel
from headrace.common.runtime.clock import Monotonic
from headrace.common.runtime.loop import Loop
from headrace.manager.domain.model_import import Import, retry_after
from headrace.manager.domain.model_source import SourceError
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.loops.importing import Importer, Progress
from headrace.manager.metrics import IMPORTED_BYTES, IMPORTS
from headrace.manager.store import folders, imports

log = structlog.get_logger()
AT_ONCE: Final = 2
"""Imports that one manager works on at a time."""
LEASE: Final = timedelta(seconds=30)
"""After this time without a sign of the manager that imports, another one goes on."""
RENEWED_EVERY_S: Final = 3.0
UNUSED_FOR: Final = timedelta(hours=1)
"""Folders of model URIs that nothing needs are removed after this time."""
REMOVED_EVERY_S: Final = 300.0
MAX_ERROR_CHARACTERS: Final = 1000
_BATCH: Final = 100
_REMOVAL_S: Final = 600.0


class ImportsLoop:
    """Task: a loop that claims imports, and those in progress.

    Reads: imports, revisions and trial runs that need them, sources of models. Writes: folders of model URIs, their
    snapshots, and the snapshot of those revisions and trial runs. Any number of managers may run it.
    """

    name = "imports"

    def __init__(
        self,
        pool: Pool,
        storage: FolderStorage,
        importer: Importer,
        poke: Callable[..., None],
        poked: asyncio.Event,
        *,
        every: timedelta,
        at_once: int = AT_ONCE,
        lease: timedelta = LEASE,
        unused_for: timedelta = UNUSED_FOR,
        monotonic: Monotonic = time.monotonic,
    ) -> None:
        self._pool = pool
        self._storage = storage
        self._importer = importer
        self._poke = poke
        self._at_once = at_once
        self._lease_for = lease
        self._unused_for = unused_for
        self._monotonic = monotonic
        self._lease = new_uuid()
        self._loop = Loop(self.name, self.one_pass, every=every, poked=poked, monotonic=monotonic)
        self._group: asyncio.TaskGroup | None = None
        self._next_removal = 0.0
        self._running: set[asyncio.Task[None]] = set()

    def stop(self) -> None:
        """Make run() return; imports in progress are left to other managers, or a later start."""
        self._loop.stop()

    async def run(self) -> None:
        """Import until stop()."""
        async with asyncio.TaskGroup() as self._group:
            await self._loop.run()
            for task in self._running:
                task.cancel()

    async def one_pass(self) -> None:
        """Fill in what ended, remove what nobody needs, and begin what is due."""
        await self._fill()
        if self._monotonic() >= self._next_removal:
            self._next_removal = self._monotonic() + REMOVED_EVERY_S
            await self.remove_unused()
        while self._group is not None and len(self._running) < self._at_once:
            async with transaction(self._pool) as con:
                claimed = await imports.claim(con, self._lease, self._lease_for)
            if claimed is None:
                return
            task = self._group.create_task(self._run(claimed), name=f"import {claimed.id}")
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _run(self, claimed: Import) -> None:
        """Run one import to its end."""
        log.info("import_started", import_id=str(claimed.id), folder=str(claimed.folder_id), bytes=claimed.size_bytes)
        progress = Progress(self._monotonic)
        try:
            snapshot_id = await self._leased(claimed, progress)
            if snapshot_id is not None:
                await self._finish(claimed, snapshot_id)
        except asyncio.CancelledError:
            await self._release(claimed)
            raise
        except SourceError as error:
            await self._failed(claimed, error.text, lasting=error.lasting)
        except Problem as problem:
            await self._failed(claimed, problem.detail, lasting=False)
        except Exception:  # the next attempt is the retry
            log.exception("import_interrupted", import_id=str(claimed.id))
            await self._failed(claimed, "an error of the manager, which its log has", lasting=False)
        finally:
            IMPORTED_BYTES.inc(progress.fetched_bytes)
            self._poke("imports", "placement")

    async def _leased(self, claimed: Import, progress: Progress) -> SnapshotId | None:
        """Import for as long as this manager has the lease; None when it lost it."""
        renewed = self._monotonic()
        work = asyncio.create_task(self._importer.run(claimed, progress), name=f"files of {claimed.id}")
        try:
            while not (await asyncio.wait([work], timeout=RENEWED_EVERY_S))[0]:
                before = self._monotonic()
                if (held := await self._renew(claimed, progress)) is None:
                    if before - renewed > self._lease_for.total_seconds():
                        return None
                elif not held:
                    return None
                else:
                    renewed = before
            return work.result()
        finally:
            await cancel(work)

    async def _renew(self, claimed: Import, progress: Progress) -> bool | None:
        """Renew the lease; return whether it was held, None where the database does not say."""
        try:
            async with transaction(self._pool) as con:
                held = await imports.renew(
                    con, claimed.id, self._lease, self._lease_for, progress.done_bytes, progress.bytes_per_s()
                )
        except Exception as error:  # noqa: BLE001 - the lease says how long that may last
            log.warning("import_lease_not_renewed", import_id=str(claimed.id), error=str(error))
            return None
        self._poke("placement")
        return held

    async def _finish(self, claimed: Import, snapshot_id: SnapshotId) -> None:
        async with transaction(self._pool) as con:
            held = await imports.finish(con, claimed.id, self._lease, snapshot_id)
        if held:
            IMPORTS.labels("done").inc()
            log.info("import_ended", import_id=str(claimed.id), folder=str(claimed.folder_id), snapshot=snapshot_id)
            await self._importer.clean(claimed)

    async def _failed(self, claimed: Import, error: str, *, lasting: bool) -> None:
        IMPORTS.labels("failed").inc()
        log.warning("import_failed", import_id=str(claimed.id), folder=str(claimed.folder_id), error=error)
        after = retry_after(claimed.attempts, lasting=lasting)
        await self._written(
            partial(
                imports.fail, import_id=claimed.id, lease=self._lease, error=error[:MAX_ERROR_CHARACTERS], after=after
            )
        )

    async def _release(self, claimed: Import) -> None:
        await self._written(partial(imports.release, import_id=claimed.id, lease=self._lease))

    async def _written(self, write: Callable[..., Awaitable[None]]) -> None:
        """Write how an import stands. Without a database its lease ends by itself."""
        try:
            async with transaction(self._pool) as con:
                await write(con)
        except Exception as error:  # noqa: BLE001 - as above
            log.warning("import_state_not_written", error=str(error))

    async def _fill(self) -> None:
        """Give revisions their content that were made while their import ended; import again what was removed meanwhile."""
        async with self._pool.acquire() as con:
            found = await imports.unfilled(con, _BATCH)
        for import_id, folder_id, snapshot_id in found:
            there = await self._storage.call(partial(self._storage.snapshots.is_there, folder_id, snapshot_id))
            async with transaction(self._pool) as con:
                if there:
                    await imports.fill(con, import_id, snapshot_id)
                else:
                    await imports.again(con, import_id, snapshot_id)
            self._poke("placement")

    async def remove_unused(self) -> None:
        """Remove folders of model URIs that nothing needs, with all that was imported into them, and what came of imports that
        nothing needs.
        """
        async with self._pool.acquire() as con:
            found = await imports.unused(con, self._unused_for, _BATCH)
        for folder_id in found:
            await self._remove(folder_id)
        async with transaction(self._pool) as con:
            abandoned = await imports.abandon(con, self._unused_for, _BATCH)
        for import_id, folder_id in abandoned:
            await self._storage.call(self._storage.staging(import_id, folder_id).remove, timeout_s=_REMOVAL_S)

    async def _remove(self, folder_id: FolderId) -> None:
        """Remove one; the next pass goes on where this one ends early."""
        async with transaction(self._pool) as con:
            if await folders.lock(con, folder_id):
                if folder_id not in await imports.unused(con, self._unused_for, _BATCH):
                    return  # a revision took it meanwhile
                await folders.mark_deleted(con, folder_id)
            gone = await imports.ids_of(con, folder_id)
        for import_id in gone:
            staging = self._storage.staging(import_id, folder_id)
            await self._storage.call(staging.remove, timeout_s=_REMOVAL_S)
        await self._storage.call(self._storage.tree(folder_id).remove, timeout_s=_REMOVAL_S)
        await self._storage.call(partial(self._storage.snapshots.remove_all, folder_id), timeout_s=_REMOVAL_S)
        async with transaction(self._pool) as con:
            await imports.forget(con, folder_id)
        log.info("import_removed", folder=str(folder_id))
