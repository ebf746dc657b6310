"""Snapshots loop: removes snapshots of model folders that no revision and no session needs."""

from __future__ import annotations

from functools import partial
from typing import Final
from uuid import UUID

import structlog

from headrace.common.contracts.ids import FolderId, SnapshotId, new_uuid
from headrace.common.db.pool import Pool, transaction
from headrace.manager.domain.storage_usage import StorageChange, StorageUsage
from headrace.manager.folders.snapshots import UNUSED_FOR_S
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.metrics import SNAPSHOTS
from headrace.manager.store import folders, snapshots

log = structlog.get_logger()
BATCH: Final = 100
"""Folders per pass; the next pass continues behind them."""
_REMOVAL_S: Final = 600.0


class SnapshotsLoop:
    """Removes snapshots that are not needed, and what killed managers left of unfinished ones.

    Any number of managers may run it: what one removes another does not find.
    """

    def __init__(
        self, pool: Pool, storage: FolderStorage, *, batch: int = BATCH, unused_for_s: float = UNUSED_FOR_S
    ) -> None:
        self._pool = pool
        self._storage = storage
        self._batch = batch
        self._unused_for_s = unused_for_s
        self._after = ""

    async def one_pass(self) -> None:
        """Look at the next folders with snapshots."""
        listed = partial(self._storage.snapshots.folders, after=self._after, limit=self._batch)
        names = await self._storage.call(listed)
        self._after = names[-1] if len(names) == self._batch else ""
        for name in names:
            try:
                folder_id = FolderId(UUID(name))
            except ValueError:  # not ours
                continue
            await self._one_folder(folder_id)

    async def _one_folder(self, folder_id: FolderId) -> None:
        unused = partial(self._storage.snapshots.unused, folder_id, unused_for_s=self._unused_for_s)
        if not (found := await self._storage.call(unused, timeout_s=_REMOVAL_S)):
            return
        async with self._pool.acquire() as con:
            if not await folders.is_known(con, folder_id):  # another installation's
                return
            needed = await snapshots.needed(con, folder_id, found)
        for snapshot_id in found:
            if snapshot_id not in needed:
                await self._remove(folder_id, snapshot_id)

    async def _remove(self, folder_id: FolderId, snapshot_id: SnapshotId) -> None:
        """Remove it, and count what only it had: a reservation meanwhile, so that no walk is compared with half of it."""
        reservation, freed = new_uuid(), StorageUsage()
        async with transaction(self._pool) as con:
            await folders.reserve(con, folder_id, reservation, StorageUsage())
        try:
            remove = partial(self._storage.snapshots.remove, folder_id, snapshot_id, unused_for_s=self._unused_for_s)
            freed = await self._storage.call(remove, timeout_s=_REMOVAL_S)
        finally:
            async with transaction(self._pool) as con:
                await folders.settle(con, folder_id, reservation, StorageChange(StorageUsage(), freed))
        SNAPSHOTS.labels("removed").inc()
        log.info("snapshot_removed", folder=str(folder_id), snapshot=snapshot_id, freed_bytes=freed.bytes)
