"""Trash loop: purges deleted folders that were kept long enough, and those of deleted projects."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

import structlog

from headrace.common.db.pool import Pool, transaction
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.metrics import FOLDERS_PURGED
from headrace.manager.store import events, folders

log = structlog.get_logger()
BATCH: Final = 10
"""Folders per pass; the next pass takes the next ones."""


class TrashLoop:
    """Purges folders. Any number of managers may run it: each takes others; a start finishes what one left."""

    def __init__(self, pool: Pool, storage: FolderStorage, *, kept_for: timedelta, batch: int = BATCH) -> None:
        self._pool = pool
        self._storage = storage
        self._kept_for = kept_for
        self._batch = batch

    async def one_pass(self) -> None:
        """Purge the folders that are due, those first that were deleted first."""
        async with transaction(self._pool) as con:
            due = await folders.due_in_trash(con, self._kept_for, limit=self._batch)
            for folder_id, project_id, name in due:
                await folders.mark_deleted(con, folder_id)
                details = {"folder": name, "folder_id": str(folder_id)}
                await events.note(con, "folder.purged", project_id=project_id, details=details)
        for folder_id, _, _ in due:
            await self._storage.remove_folder(folder_id)
            FOLDERS_PURGED.inc()
            log.info("folder_purged", folder=str(folder_id))
