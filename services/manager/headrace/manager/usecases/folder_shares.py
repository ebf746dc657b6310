"""Use cases of shares of folders, and of invitations to them.

A share is of a project: its services mount the folder, whoever changes them. Owners share with projects in which they may change
things; into others a folder comes by an invitation, which a user accepts for one of hers.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from headrace.common.contracts.http.folder_shares import (
    AcceptFolder,
    FolderInvitationView,
    FolderShareView,
    ShareFolder,
)
from headrace.common.contracts.http.folders import FolderView
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.ids import FolderShareId
from headrace.common.contracts.problems import Conflict, Forbidden, InvalidRequest, NotFound
from headrace.common.contracts.vocabulary import Role
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain import access, object_limits
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import FolderShareState
from headrace.manager.domain.object_limits import ObjectLimits
from headrace.manager.domain.records.events import Scope
from headrace.manager.domain.records.folder_shares import FolderShare
from headrace.manager.domain.records.folders import Folder, FolderAccess
from headrace.manager.domain.records.projects import Project
from headrace.manager.store import folder_shares, folders, projects, users
from headrace.manager.usecases.context import as_id, make_page, operators_only, project_or_only, record_of
from headrace.manager.usecases.folder_access import access_to, folder_for, view_of
from headrace.manager.usecases.idempotency import keep
from headrace.manager.views.folder_shares import invitation_view, share_view

INVITED_FOR: Final = timedelta(days=14)
"""How long an invitation can be accepted."""


class FolderShares:
    """Use cases of shares of folders. `project` of a folder: as in `Folders`."""

    def __init__(self, pool: Pool, limits: ObjectLimits) -> None:
        self._pool = pool
        self._limits = limits

    async def create(self, actor: Actor, reference: str, project: str | None, asked: ShareFolder) -> FolderShareView:
        """Share a folder, or invite a user to. Who has it, or is invited, gets the permission.

        Raises NotFound, Forbidden, InvalidRequest for the folder's own project; Conflict for too many, and a folder of a model URI.
        """
        async with transaction(self._pool) as con:
            folder = await folder_for(con, actor, reference, "share", project=project)
            if folder.source is not None:
                text = f"folder {folder.name} holds the files of {folder.source}, which each project imports by itself"
                raise Conflict(text)
            whom = await _held_project(con, actor, asked.project) if asked.project is not None else None
            if not await folders.lock(con, folder.id):
                raise NotFound(f"there is no folder {reference}")
            if asked.all_projects:
                operators_only(actor, "share folders with all projects")
                share_id = await folder_shares.put_all(con, folder.id, actor.name)
            elif asked.user is not None:
                share_id = await self._invite(con, actor, folder, asked.user, asked)
            else:
                assert whom is not None  # noqa: S101 - one of the three is given
                _check_other(whom, folder)
                share_id = await folder_shares.put_project(con, folder.id, whom.id, asked.permission, actor.name)
            await self._check_count(con, folder)
            share = await _share(con, folder, share_id)
            await _record(con, actor, "folder.invited" if share.user else "folder.shared", folder, None, share)
            view = share_view(share)
            await keep(con, actor, view)
        return view

    async def page(
        self, actor: Actor, reference: str, project: str | None, *, after: UUID, limit: int
    ) -> Page[FolderShareView]:
        """Return with whom the folder is shared, and who is invited; to others than members of its project the shares with theirs.

        Raises NotFound.
        """
        async with self._pool.acquire() as con:
            found = await access_to(con, actor, reference, project=project)
            whose = None if access.sees(actor, found.role) else actor
            shares = await folder_shares.page(con, found.folder.id, whose, after=after, limit=limit + 1)
        return make_page(shares, limit, share_view, lambda share: share.id)

    async def delete(self, actor: Actor, reference: str, project: str | None, share: str) -> None:
        """End a share, or withdraw an invitation (owners of the folder's project; members of the project that it is shared with).

        Raises NotFound, Forbidden.
        """
        async with transaction(self._pool) as con:
            found = await access_to(con, actor, reference, project=project)
            await folders.lock(con, found.folder.id)
            held = await folder_shares.find(con, found.folder.id, as_id(share, "share"))
            if held is None or not (access.sees(actor, found.role) or await self._is_of(con, actor, held)):
                raise NotFound(f"folder {found.name} has no share {share}")
            if not access.may(actor, found.role, "owner") and not await self._is_of(con, actor, held, "member"):
                raise Forbidden(
                    f"only owners of project {found.project}, and members of {held.whom}, may end a share of folder {found.name}"
                )
            await folder_shares.delete(con, held.id)
            action = "folder.invitation-withdrawn" if held.user else "folder.unshared"
            await _record(con, actor, action, found.folder, held, None)

    async def invitations(self, actor: Actor, *, after: UUID, limit: int) -> Page[FolderInvitationView]:
        """Return the caller's open invitations."""
        async with self._pool.acquire() as con:
            found = await folder_shares.invitations(con, actor.user_id, after=after, limit=limit + 1)
        return make_page(found, limit, lambda one: invitation_view(*one), lambda one: one[0].id)

    async def accept(self, actor: Actor, invitation: str, asked: AcceptFolder) -> FolderView:
        """Share the folder with a project of the caller, and return it. Raises NotFound, Forbidden, InvalidRequest."""
        async with transaction(self._pool) as con:
            whom = await _held_project(con, actor, asked.project)
            share, invited = await _invitation(con, actor, invitation)
            folder = invited.folder
            _check_other(whom, folder)
            await folder_shares.delete(con, share.id)
            share_id = await folder_shares.put_project(con, folder.id, whom.id, share.permission, share.created_by)
            after = await _share(con, folder, share_id)
            await _record(con, actor, "folder.invitation-accepted", folder, share, after)
            return await view_of(con, actor, folder)

    async def decline(self, actor: Actor, invitation: str) -> None:
        """Decline an invitation. Raises NotFound."""
        async with transaction(self._pool) as con:
            share, invited = await _invitation(con, actor, invitation)
            await folder_shares.delete(con, share.id)
            await _record(con, actor, "folder.invitation-declined", invited.folder, share, None)

    async def _invite(
        self, con: Connection, actor: Actor, folder: Folder, reference: str, asked: ShareFolder
    ) -> FolderShareId:
        user = await users.find(con, reference)
        if user is None:
            raise NotFound(f"there is no user {reference}")
        await users.lock(con, user.id)  # so that invitations are counted one after another
        share_id = await folder_shares.put_user(con, folder.id, user.id, asked.permission, actor.name, INVITED_FOR)
        there = await folder_shares.count_of_user(con, user.id) - 1
        object_limits.check(f"user {user.name}", "open invitations", there, self._limits.shares_per_folder)
        return share_id

    async def _check_count(self, con: Connection, folder: Folder) -> None:
        there = await folder_shares.count_of_folder(con, folder.id) - 1
        object_limits.check(f"folder {folder.name}", "shares and invitations", there, self._limits.shares_per_folder)

    async def _is_of(self, con: Connection, actor: Actor, share: FolderShare, needed: Role = "viewer") -> bool:
        """Return whether the share is with a project in which the caller has this role."""
        if share.project_id is None:
            return False
        found = await projects.find(con, str(share.project_id), actor)
        return found is not None and access.may(actor, found[1], needed)


async def _held_project(con: Connection, actor: Actor, reference: str | None) -> Project:
    """Return the project that a folder is to be shared with, locked so that it is not deleted meanwhile; before the folder is, as when
    services are made.
    """
    project = await project_or_only(con, actor, reference, "member")
    held = await projects.lock(con, project.id)
    if held is None:
        raise NotFound(f"there is no project {project.name}")
    return held


def _check_other(project: Project, folder: Folder) -> None:
    if project.id == folder.project_id:
        raise InvalidRequest.of("project", project.name, "another project than the folder's own")


async def _share(con: Connection, folder: Folder, share_id: FolderShareId) -> FolderShare:
    found = await folder_shares.find(con, folder.id, share_id)
    assert found is not None  # noqa: S101 - made in this transaction
    return found


async def _invitation(con: Connection, actor: Actor, invitation: str) -> tuple[FolderShare, FolderAccess]:
    """Return an open invitation of the caller, with its folder locked. Raises NotFound."""
    wanted = as_id(invitation, "invitation")
    for _ in range(2):  # again once the folder is locked: it may have been withdrawn, or the folder deleted
        found = await folder_shares.invitations(con, actor.user_id, only=wanted, limit=1)
        if not found or not await folders.lock(con, found[0][1].folder.id):
            raise NotFound(f"there is no invitation {invitation}")
    return found[0]


async def _record(
    con: Connection,
    actor: Actor,
    action: str,
    folder: Folder,
    before: FolderShare | None,
    after: FolderShare | None,
) -> None:
    """Record a change of a share, in the history of the folder's project."""
    share = after or before
    assert share is not None  # noqa: S101 - it was there before, or is now
    named: dict[str, Any] = {"folder": folder.name, "folder_id": str(folder.id), "with": share.whom}
    was, now = (FolderShareState.of(one) if one else None for one in (before, after))
    await record_of(con, actor, action, Scope(folder.project_id), before=was, after=now, **named)
