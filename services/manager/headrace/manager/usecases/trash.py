"""Use cases of the trash: deleted folders, which are kept for a while."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from uuid import UUID

from headrace.common.contracts.http.folders import FolderView, RestoreFolder, TrashedFolderView
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import InvalidRequest, NameTaken, NotFound
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import FolderState
from headrace.manager.domain.records.folders import Folder
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.store import folders
from headrace.manager.usecases.context import authorise, make_page, project_for
from headrace.manager.usecases.folder_access import view_of
from headrace.manager.usecases.folders import record_of_folder
from headrace.manager.views.folders import trashed_view


class Trash:
    """Use cases of deleted folders. `project` disambiguates a name that several projects' trash has."""

    def __init__(self, pool: Pool, storage: FolderStorage, *, kept_for: timedelta) -> None:
        self._pool = pool
        self._storage = storage
        self._kept_for = kept_for

    async def page(self, actor: Actor, *, project: str | None, after: UUID, limit: int) -> Page[TrashedFolderView]:
        """Return the deleted folders that the caller sees. Raises NotFound for a project that the caller does not see."""
        async with self._pool.acquire() as con:
            project_id = (await project_for(con, actor, project, "viewer")).id if project else None
            found = await folders.trash_page(con, actor, project_id=project_id, after=after, limit=limit + 1)
        view = partial(trashed_view, kept_for=self._kept_for)
        return make_page(found, limit, view, lambda trashed: trashed.folder.id)

    async def restore(self, actor: Actor, reference: str, project: str | None, asked: RestoreFolder) -> FolderView:
        """Make it a folder again, under its name or another one. Raises NotFound, Forbidden, NameTaken."""
        async with self._pool.acquire() as con:
            folder = await self._find(con, actor, reference, project)
            name = asked.name or folder.name
            if await folders.has_name(con, folder.project_id, name):
                raise NameTaken(f"the project has a folder {name} already; restore this one under another name")
        # The files first: a manager that ends in between leaves a folder in the trash with its files in their place.
        await self._storage.call(partial(self._storage.trash.restore, folder.id))
        try:
            async with transaction(self._pool) as con:
                if not await folders.lock_trashed(con, folder.id):
                    raise NotFound(f"there is no folder {reference} in the trash")
                restored = await folders.restore(con, folder.id, name)
                now = FolderState.of(restored)
                await record_of_folder(con, actor, "folder.restored", restored, None, now, former_name=folder.name)
                view = await view_of(con, actor, restored)
        except NameTaken:
            await self._storage.call(partial(self._storage.trash.put, folder.id))
            raise
        await self._storage.call(partial(self._storage.trash.restore, folder.id))  # a deletion may have ended just now
        return view

    async def purge(self, actor: Actor, reference: str, project: str | None) -> None:
        """Delete a folder of the trash, and its files. Raises NotFound, Forbidden."""
        async with transaction(self._pool) as con:
            folder = await self._find(con, actor, reference, project)
            if not await folders.lock_trashed(con, folder.id):
                raise NotFound(f"there is no folder {reference} in the trash")
            await folders.mark_deleted(con, folder.id)
            await record_of_folder(con, actor, "folder.purged", folder, FolderState.of(folder), None)
        await self._storage.remove_folder(folder.id)

    async def _find(self, con: Connection, actor: Actor, reference: str, project: str | None) -> Folder:
        within = await project_for(con, actor, project, "viewer") if project else None
        found = await folders.find_trashed(con, reference, actor, within.id if within else None)
        if not found:
            raise NotFound(f"there is no folder {reference} in the trash")
        folder, project_name, role = found[0]
        if len(found) > 1 and str(folder.id) != reference:
            raise InvalidRequest.of("folder", reference, f"an id: several deleted folders were called {reference}")
        authorise(actor, project_name, role, "member")
        return folder
