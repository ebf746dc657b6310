"""Storage account of projects: counted with each change, bounded by quota.

Whoever stores reserves first and settles afterwards, so that many at once do not pass a quota together.
"""

from __future__ import annotations

from uuid import UUID

from headrace.common.contracts.problems import NotFound
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain import stored
from headrace.manager.domain.bounds import Bounds
from headrace.manager.domain.records.folders import Folder
from headrace.manager.domain.stored import Amount, Change
from headrace.manager.store import folders, projects


class StorageAccount:
    """Account of the bytes and files that projects store. Its callers have authorised."""

    def __init__(self, pool: Pool, most: Bounds) -> None:
        self._pool = pool
        self._most = most

    async def check(self, con: Connection, folder: Folder, more: Amount) -> None:
        """Hold the project until the transaction ends. Raises QuotaExceeded when `more` passes its quota, NotFound when it is gone."""
        await self._grant(con, folder, more, Amount())

    async def reserve(self, folder: Folder, reservation: UUID, needed: Amount, *, step: Amount) -> Amount:
        """Count what is to come into the folder: `needed`, or up to a `step` where there is room enough. Returns how much.

        Whoever reserves settles at the end. Raises QuotaExceeded, NotFound.
        """
        async with transaction(self._pool) as con:
            granted = await self._grant(con, folder, needed, step)
            await folders.reserve(con, folder.id, reservation, granted)
        return granted

    async def touch(self, folder: Folder, reservation: UUID) -> None:
        """Say that a request changes the folder, before it does and while it goes on: else a walk could not be compared."""
        async with transaction(self._pool) as con:
            await folders.reserve(con, folder.id, reservation, Amount())

    async def settle(self, con: Connection, folder: Folder, reservation: UUID, change: Change) -> None:
        """Count what the request came to; it has ended."""
        await folders.settle(con, folder.id, reservation, change)

    async def _grant(self, con: Connection, folder: Folder, needed: Amount, step: Amount) -> Amount:
        project = await projects.lock(con, folder.project_id)  # one at a time, so that the sum holds
        if project is None:
            raise NotFound("the project is gone")
        used = await folders.stored(con, project.id)
        return stored.grant(project.name, stored.limits(project.quota, self._most), used, needed, step)
