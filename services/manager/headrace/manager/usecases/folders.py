"""Use cases of folders (of the files in them: `files`)."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from headrace.common.contracts.http.folders import CreateFolder, FolderView, UpdateFolder
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import Conflict, InUse, NotFound, Problem
from headrace.common.contracts.vocabulary import UsageMode
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.common.text.counting import count
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import FolderState, State
from headrace.manager.domain.entity_tags import tag_of_folder
from headrace.manager.domain.folder_rights import FolderRight
from headrace.manager.domain.records.events import Scope
from headrace.manager.domain.records.folders import Folder
from headrace.manager.domain.variants.inputs import HOME
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.store import folder_shares, folders, projects
from headrace.manager.usecases.context import check_match, project_for, project_or_only, record_of
from headrace.manager.usecases.folder_access import folder_for, view_of, views_of
from headrace.manager.usecases.idempotency import forget, keep
from headrace.manager.usecases.project_limiter import ProjectLimiter
from headrace.manager.usecases.snapshots import FolderSnapshots
from headrace.manager.usecases.storage_account import StorageAccount

MAX_USERS = 20
"""Services that mount a folder, by name."""


class Folders:
    """Use cases of folders. `project` disambiguates a name that several projects use."""

    def __init__(
        self,
        pool: Pool,
        storage: FolderStorage,
        snapshots: FolderSnapshots,
        account: StorageAccount,
        *,
        trash_kept_for: timedelta,
    ) -> None:
        self._pool = pool
        self._storage = storage
        self._snapshots = snapshots
        self._account = account
        self._has_trash = trash_kept_for > timedelta(0)
        self.turns = ProjectLimiter()
        """Limiter of projects' long operations."""

    async def create(self, actor: Actor, new: CreateFolder) -> FolderView:
        """Create an empty folder. Raises NotFound, Forbidden, NameTaken."""
        async with transaction(self._pool) as con:
            project = await project_or_only(con, actor, new.project, "member")
            await projects.lock(con, project.id)
            await self._account.check_folders(con, project)
            folder = await folders.insert(con, project.id, new.name, new.usage_mode)
            await record_of_folder(con, actor, "folder.created", folder, None, FolderState.of(folder))
            view = await view_of(con, actor, folder)
            await keep(con, actor, view)
        try:
            await self._storage.call(self._storage.tree(folder.id).create)
        except Problem:
            async with transaction(self._pool) as con:  # a folder without a place for its files is none
                await folders.mark_deleted(con, folder.id)
                await record_of_folder(con, actor, "folder.deleted", folder, FolderState.of(folder), None)
                await forget(con, actor)
            raise
        return view

    async def page(
        self, actor: Actor, *, project: str | None, shared: bool, usage_mode: UsageMode | None, after: UUID, limit: int
    ) -> Page[FolderView]:
        """Return the folders of the caller's projects; with `shared` those of others that are shared with these.

        Raises NotFound for a project that the caller does not see.
        """
        listed = folder_shares.page_shared if shared else folders.page
        async with self._pool.acquire() as con:
            project_id = (await project_for(con, actor, project, "viewer")).id if project else None
            found = await listed(con, actor, project_id=project_id, usage_mode=usage_mode, after=after, limit=limit + 1)
            views = await views_of(con, actor, found[:limit])
        return Page(items=tuple(views), next=str(found[limit - 1].id) if len(found) > limit else None)

    async def show(self, actor: Actor, reference: str, project: str | None) -> FolderView:
        """Return one folder, with the services that mount it. Raises NotFound."""
        async with self._pool.acquire() as con:
            folder = await folder_for(con, actor, reference, "read", project=project)
            users = await folders.services_of(con, actor, folder.id, most=MAX_USERS)
            return await view_of(con, actor, folder, users)

    async def find(self, actor: Actor, reference: str, project: str | None, right: FolderRight) -> Folder:
        """Return the folder if the caller has the right; of those filled from a URI only to read.

        Raises NotFound, Forbidden, Conflict.
        """
        async with self._pool.acquire() as con:
            folder = await folder_for(con, actor, reference, right, project=project)
        if right != "read" and folder.source is not None:
            raise Conflict(f"folder {folder.name} holds the files of {folder.source}, and is changed by imports only")
        return folder

    async def update(self, actor: Actor, reference: str, project: str | None, change: UpdateFolder) -> FolderView:
        """Rename the folder. Services that mount it go on with it. Raises NotFound, Forbidden, NameTaken, Conflict."""
        found = await self.find(actor, reference, project, "manage")
        async with transaction(self._pool) as con:
            before = await folders.by_id(con, found.id) if await folders.lock(con, found.id) else None
            if before is None:
                raise NotFound(f"there is no folder {reference}")
            check_match(actor, f"folder {before.name}", tag_of_folder(before))
            if before.name == change.name:
                return await view_of(con, actor, before)
            after = await folders.rename(con, before, change.name, home=HOME)
            was, now = FolderState.of(before), FolderState.of(after)
            await record_of_folder(con, actor, "folder.renamed", after, was, now)
            return await view_of(con, actor, after)

    async def delete(
        self, actor: Actor, reference: str, project: str | None, *, force: bool = False, purge: bool = False
    ) -> None:
        """Put the folder into the trash; with `purge`, and if it holds the files of a model URI, delete its files at once.

        Raises NotFound, Forbidden, InUse when a live service of its project needs it, or (without `force`) one of another project, or
        an older revision.
        """
        async with transaction(self._pool) as con:
            found = await folder_for(con, actor, reference, "manage", project=project)
            folder = await folders.by_id(con, found.id) if await folders.lock(con, found.id) else None
            if folder is None:
                raise NotFound(f"there is no folder {reference}")
            check_match(actor, f"folder {folder.name}", tag_of_folder(folder))
            users, others = await folders.users_of(con, folder.id)
            if users:
                raise InUse(f"folder {folder.name} is needed by {', '.join(users)}")
            if others and not force:
                text = f"folder {folder.name} is needed by {count(others, 'service')} of other projects"
                raise InUse(f"{text}; with force it is deleted all the same, and their replicas cannot start any more")
            if not force and (older := await folders.older_users_of(con, folder.id)):
                text = f"without folder {folder.name} these cannot be rolled back to: {', '.join(older)}"
                raise InUse(f"{text}; with force it is deleted all the same")
            kept = self._has_trash and not purge and folder.source is None
            if kept:
                uploads = await folders.mark_trashed(con, folder.id, actor.name)
            else:
                uploads = await folders.mark_deleted(con, folder.id)
            was = FolderState.of(folder)
            await record_of_folder(con, actor, "folder.deleted", folder, was, None, restorable=kept)
        for upload_id in uploads:
            await self._storage.call(partial(self._storage.partials.remove, upload_id))
        if not kept:
            await self._storage.remove_folder(folder.id)
            return
        await self._storage.call(partial(self._storage.trash.put, folder.id))
        async with self._pool.acquire() as con:
            restored = await folders.by_id(con, folder.id) is not None
        if restored:  # meanwhile, so that its files came back before they went
            await self._storage.call(partial(self._storage.trash.restore, folder.id))

    async def manifest(self, actor: Actor, reference: str, project: str | None) -> bytes:
        """Return the encoded manifest of the folder as it is now.

        Raises NotFound, Conflict for too many files; Unavailable while digests are made, and at the project's limit of
        concurrent listings.
        """
        folder = await self.find(actor, reference, project, "read")
        async with self.turns.of(folder.project_id):
            return await self._snapshots.manifest(folder.id)

    async def clean(self) -> int:
        """Delete leftover files of the last thousand deleted folders; return how many had some."""
        async with self._pool.acquire() as con:
            gone = await folders.deleted(con, limit=1000)
        removed = 0
        for folder_id in gone:
            if await self._storage.call(partial(self._storage.is_left, folder_id)):
                await self._storage.remove_folder(folder_id)
                removed += 1
        return removed


async def record_of_folder(
    con: Connection,
    actor: Actor,
    action: str,
    folder: Folder,
    before: State | None,
    after: State | None,
    **details: Any,
) -> None:
    """Record a change of a folder, or of files in it."""
    named: dict[str, Any] = {"folder": folder.name, "folder_id": str(folder.id)} | details
    await record_of(con, actor, action, Scope(folder.project_id), before=before, after=after, **named)
