"""Storage accounting of projects: updated with each change, bounded by quota.

A sender reserves first and settles afterwards, so that concurrent ones do not exceed a quota together.
"""

from __future__ import annotations

from uuid import UUID

from headrace.common.contracts.ids import ProjectId
from headrace.common.contracts.problems import NotFound
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain import object_limits, storage_usage
from headrace.manager.domain.object_limits import ObjectLimits
from headrace.manager.domain.records.folders import Folder
from headrace.manager.domain.records.projects import Project
from headrace.manager.domain.storage_usage import StorageChange, StorageUsage
from headrace.manager.store import folders, projects


class StorageAccount:
    """Storage accounting of projects. Callers have authorised."""

    def __init__(self, pool: Pool, limits: ObjectLimits) -> None:
        self._pool = pool
        self._limits = limits

    async def check(self, con: Connection, project_id: ProjectId, more: StorageUsage) -> None:
        """Lock the project until the transaction ends.

        Raises QuotaExceeded when `more` exceeds its quota, NotFound when it is gone.
        """
        await self._grant(con, project_id, more, StorageUsage())

    async def check_folders(self, con: Connection, project: Project) -> None:
        """Raise Conflict when the project, which the caller has locked, can have no further folder."""
        has = await projects.in_use(con, project.id)
        what = f"folders ({has.trashed} of them in the trash)" if has.trashed else "folders"
        most = self._limits.folders_per_project
        object_limits.check(f"project {project.name}", what, has.folders + has.trashed, most)

    async def reserve(
        self, folder: Folder, reservation: UUID, needed: StorageUsage, *, step: StorageUsage
    ) -> StorageUsage:
        """Reserve storage in the folder: `needed`, or up to a `step` more where there is enough. Return the amount.

        The caller settles at the end. Raises QuotaExceeded, NotFound.
        """
        async with transaction(self._pool) as con:
            granted = await self._grant(con, folder.project_id, needed, step)
            await folders.reserve(con, folder.id, reservation, granted)
        return granted

    async def touch(self, folder: Folder, reservation: UUID) -> None:
        """Mark the folder as being changed, before and during a request: otherwise a usage walk could not be compared."""
        async with transaction(self._pool) as con:
            await folders.reserve(con, folder.id, reservation, StorageUsage())

    async def settle(self, con: Connection, folder: Folder, reservation: UUID, change: StorageChange) -> None:
        """Replace the request's reservation by its actual usage, at its end."""
        await folders.settle(con, folder.id, reservation, change)

    async def _grant(
        self, con: Connection, project_id: ProjectId, needed: StorageUsage, step: StorageUsage
    ) -> StorageUsage:
        project = await projects.lock(con, project_id)  # one at a time, so that the sum holds
        if project is None:
            raise NotFound("the project is gone")
        used = await folders.stored(con, project.id)
        return storage_usage.grant(project.name, storage_usage.limits(project.quota, self._limits), used, needed, step)
