"""What a project's folders store: counted with each change, and bounded by its quota."""

from __future__ import annotations

from headrace.common.contracts.problems import NotFound
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain import stored
from headrace.manager.domain.bounds import Bounds
from headrace.manager.domain.records import Folder
from headrace.manager.domain.stored import Amount
from headrace.manager.store import folders, projects


class Stored:
    """The account of bytes and files. Its callers have authorised."""

    def __init__(self, pool: Pool, most: Bounds) -> None:
        self._pool = pool
        self._most = most

    async def check(self, con: Connection, folder: Folder, more: Amount) -> None:
        """Hold the project until the transaction ends. Raises QuotaExceeded when `more` passes its quota, NotFound when it is gone."""
        await self._grant(con, folder, more, Amount())

    async def reserve(self, folder: Folder, needed: Amount, *, step: Amount) -> Amount:
        """Count what is to come into the folder: `needed`, or up to a `step` where there is room enough. Returns how much.

        Whoever reserves counts what did not come back down at its end. Raises QuotaExceeded, NotFound.
        """
        async with transaction(self._pool) as con:
            granted = await self._grant(con, folder, needed, step)
            await folders.add_stored(con, folder.id, granted)
        return granted

    async def touch(self, folder: Folder) -> None:
        """Say that what was reserved is still on its way: the folder is not measured meanwhile."""
        async with transaction(self._pool) as con:
            await folders.add_stored(con, folder.id, Amount())

    async def _grant(self, con: Connection, folder: Folder, needed: Amount, step: Amount) -> Amount:
        project = await projects.lock(con, folder.project_id)  # one at a time, so that the sum holds
        if project is None:
            raise NotFound("the project is gone")
        used = await folders.stored(con, project.id)
        return stored.grant(project.name, stored.limits(project.quota, self._most), used, needed, step)
