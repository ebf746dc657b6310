"""Queries: shares of folders, and what they let callers and services do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from headrace.common.contracts.ids import FolderId, FolderShareId, ProjectId, UserId, new_uuid
from headrace.common.contracts.vocabulary import FolderPermission, UsageMode
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.access import Actor
from headrace.manager.domain.records.folder_shares import FolderShare
from headrace.manager.domain.records.folders import Folder, FolderAccess, FolderFacts
from headrace.manager.domain.storage_usage import StorageUsage
from headrace.manager.store import rows
from headrace.manager.store.folders import folder_of

SQL = Queries.beside(__file__)
_FIRST = UUID(int=0)


async def find_shared(con: Connection, actor: Actor, name: str, owner: str | None) -> FolderAccess | None:
    """Return the folder with this id or name (of `owner`, without which no name is found) if it is shared with a project of the
    caller, or with all.
    """
    row = await con.fetchrow(
        SQL.find_shared,
        rows.as_uuid(name),
        name,
        actor.user_id,
        actor.projects,
        rows.as_uuid(owner) if owner else None,
        owner,
    )
    return _access(row) if row else None


async def find_usable(con: Connection, project_id: ProjectId, name: str, owner: str) -> FolderAccess | None:
    """Return the folder with this id, or this name in the project `owner`, if services of the project may mount it."""
    row = await con.fetchrow(SQL.find_usable, rows.as_uuid(name), name, project_id, rows.as_uuid(owner), owner)
    return _access(row) if row else None


async def usable(
    con: Connection, project_id: ProjectId, folder_ids: Sequence[FolderId]
) -> dict[FolderId, FolderPermission]:
    """Return what the project's services may do with these folders; those that they may not mount are missing."""
    return {row["id"]: row["permission"] for row in await con.fetch(SQL.usable, list(folder_ids), project_id)}


async def page_shared(
    con: Connection,
    actor: Actor,
    *,
    project_id: ProjectId | None,
    usage_mode: UsageMode | None,
    after: UUID,
    limit: int,
) -> list[Folder]:
    """Return a page of other projects' folders that are shared with `project_id`, which the caller sees, or else the caller's projects."""
    found = await con.fetch(
        SQL.page_shared,
        actor.user_id,
        actor.projects,
        project_id,
        usage_mode,
        after,
        limit,
        project_id is not None,
    )
    return [folder_of(row) for row in found]


async def described(con: Connection, actor: Actor, folder_ids: Sequence[FolderId]) -> dict[FolderId, FolderFacts]:
    """Return what is said of these folders to the caller."""
    found = await con.fetch(SQL.described, list(folder_ids), actor.user_id, actor.projects)
    return {
        row["id"]: FolderFacts(
            project=row["project"],
            usage=StorageUsage(row["stored_bytes"], row["stored_files"]),
            role=row["role"],
            permission=row["permission"],
            shared_with=row["shared_with"],
            shared_with_all=row["shared_with_all"],
        )
        for row in found
    }


async def put_project(
    con: Connection, folder_id: FolderId, project_id: ProjectId, permission: FolderPermission, by: str
) -> FolderShareId:
    """Share a folder with a project; where it is shared, with this permission from now on."""
    return FolderShareId(await con.fetchval(SQL.put_project, new_uuid(), folder_id, project_id, permission, by))


async def put_user(
    con: Connection, folder_id: FolderId, user_id: UserId, permission: FolderPermission, by: str, lasts: timedelta
) -> FolderShareId:
    """Invite a user; one who is invited, again."""
    return FolderShareId(await con.fetchval(SQL.put_user, new_uuid(), folder_id, user_id, permission, by, lasts))


async def put_all(con: Connection, folder_id: FolderId, by: str) -> FolderShareId:
    """Share a folder with all projects, to read."""
    return FolderShareId(await con.fetchval(SQL.put_all, new_uuid(), folder_id, by))


async def page(
    con: Connection, folder_id: FolderId, whose: Actor | None, *, after: UUID, limit: int
) -> list[FolderShare]:
    """Return a page of the folder's shares and open invitations; `whose`: the shares with projects of this caller only."""
    of = (whose.user_id, whose.projects) if whose else (None, None)
    return [_share(row) for row in await con.fetch(SQL.of_folder, folder_id, None, after, limit, *of)]


async def find(con: Connection, folder_id: FolderId, share_id: UUID) -> FolderShare | None:
    """Return a share or open invitation of the folder."""
    row = await con.fetchrow(SQL.of_folder, folder_id, share_id, _FIRST, 1, None, None)
    return _share(row) if row else None


async def count_of_folder(con: Connection, folder_id: FolderId) -> int:
    """Return the number of the folder's shares and open invitations."""
    return int(await con.fetchval(SQL.count_of_folder, folder_id))


async def count_of_user(con: Connection, user_id: UserId) -> int:
    """Return the number of the user's open invitations."""
    return int(await con.fetchval(SQL.count_of_user, user_id))


async def invitations(
    con: Connection, user_id: UserId, *, only: UUID | None = None, after: UUID = _FIRST, limit: int
) -> list[tuple[FolderShare, FolderAccess]]:
    """Return a page of the user's open invitations, or `only` one, and the folder of each."""
    return [(_share(row), _invited(row)) for row in await con.fetch(SQL.invitations, user_id, only, after, limit)]


async def delete(con: Connection, share_id: FolderShareId) -> None:
    """Delete a share or invitation."""
    await con.execute(SQL.delete, share_id)


async def delete_of_project(con: Connection, project_id: ProjectId) -> None:
    """Delete the shares with a project."""
    await con.execute(SQL.delete_of_project, project_id)


def _access(row: Mapping[str, Any]) -> FolderAccess:
    return FolderAccess(folder_of(row), row["project"], None, row["permission"])


def _share(row: Mapping[str, Any]) -> FolderShare:
    return FolderShare(
        id=row["id"],
        folder_id=row["folder_id"],
        project_id=row["project_id"],
        project=row["project"],
        user_id=row["user_id"],
        user=row["user"],
        all_projects=row["all_projects"],
        permission=row["permission"],
        created_by=row["created_by"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )


def _invited(row: Mapping[str, Any]) -> FolderAccess:
    folder = Folder(
        id=row["folder_id"],
        project_id=row["owner_id"],
        name=row["folder"],
        usage_mode=row["usage_mode"],
        created_at=row["folder_created_at"],
        source=row["source"],
    )
    return FolderAccess(folder, row["owner"], None, row["permission"])
