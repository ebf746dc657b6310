"""Folders and the uploads into them (rows only; the files are in headrace.manager.folders)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg

from headrace.common.contracts.http.folders import UsageMode
from headrace.common.contracts.http.projects import Role
from headrace.common.contracts.ids import FolderId, ProjectId, UserId, new_uuid
from headrace.common.contracts.problems import NameTaken
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.access import Actor
from headrace.manager.domain.records import Folder, Upload
from headrace.manager.domain.stored import Amount
from headrace.manager.store import rows

SQL = Queries.beside(__file__)


@dataclass(frozen=True)
class ToMeasure:
    """A folder that is to be walked, with what is counted of it."""

    id: FolderId
    counted: Amount
    changed_at: datetime | None


def _folder(row: Mapping[str, Any]) -> Folder:
    return Folder(
        id=row["id"], project_id=row["project_id"], name=row["name"], usage_mode=row["usage_mode"],
        created_at=row["created_at"],
    )  # fmt: skip


async def insert(con: Connection, project_id: ProjectId, name: str, usage_mode: UsageMode) -> Folder:
    """Create a folder's row. Raises NameTaken."""
    try:
        return _folder(await con.fetchrow(SQL.insert, new_uuid(), project_id, name, usage_mode))
    except asyncpg.UniqueViolationError:
        raise NameTaken(f"the project has a folder {name} already") from None


async def find(
    con: Connection, reference: str, actor: Actor, project_id: ProjectId | None
) -> list[tuple[Folder, str, Role | None]]:
    """Return the folder that the caller sees under this id or name, its project's name and the caller's role there.

    Two entries mean that the name is used in several projects; an id comes alone or first.
    """
    found = await con.fetch(SQL.find, rows.as_uuid(reference), reference, actor.user_id, actor.operator, project_id)
    return [(_folder(row), row["project"], row["role"]) for row in found]


async def page(
    con: Connection,
    actor: Actor,
    *,
    project_id: ProjectId | None,
    usage_mode: UsageMode | None,
    after: UUID,
    limit: int,
) -> list[Folder]:
    """Return a page of the folders that the caller sees."""
    found = await con.fetch(SQL.page, actor.operator, actor.user_id, project_id, usage_mode, after, limit)
    return [_folder(row) for row in found]


async def hold(con: Connection, folder_ids: Iterable[FolderId]) -> set[FolderId]:
    """Return those that still exist, and keep them from being deleted until the transaction ends."""
    return {row["id"] for row in await con.fetch(SQL.hold, list(folder_ids))}


async def lock(con: Connection, folder_id: FolderId) -> bool:
    """Hold the folder alone until the transaction ends; False when it is gone."""
    return await con.fetchval(SQL.lock, folder_id) is not None


async def users_of(con: Connection, folder_id: FolderId) -> list[str]:
    """Return the names of some services that need it."""
    return [row[0] for row in await con.fetch(SQL.users_of, folder_id)]


async def older_users_of(con: Connection, folder_id: FolderId) -> list[str]:
    """Return some services' revisions that need it, in words."""
    return [f"{row['name']} (revision {row['number']})" for row in await con.fetch(SQL.older_users_of, folder_id)]


async def names(con: Connection, folder_ids: Sequence[FolderId]) -> dict[FolderId, str]:
    """Return names by id, of deleted ones too."""
    return {row["id"]: row["name"] for row in await con.fetch(SQL.names, list(folder_ids))} if folder_ids else {}


async def names_of_deleted(con: Connection, folder_ids: Sequence[FolderId]) -> list[str]:
    """Return the names of those that were deleted."""
    return [row["name"] for row in await con.fetch(SQL.names_of_deleted, list(folder_ids))]


async def mark_deleted(con: Connection, folder_id: FolderId) -> list[UUID]:
    """Hide the folder, forget its uploads, and return their ids."""
    await con.execute(SQL.mark_deleted, folder_id)
    return [row["id"] for row in await con.fetch(SQL.delete_uploads_of, folder_id)]


async def deleted(con: Connection, *, limit: int) -> list[FolderId]:
    """Return the folders deleted last: their files may still be there."""
    return [row["id"] for row in await con.fetch(SQL.deleted, limit)]


async def insert_upload(
    con: Connection,
    folder_id: FolderId,
    path: str,
    size_bytes: int,
    sha256: str | None,
    user_id: UserId,
    modified_ns: int | None = None,
) -> Upload:
    """Keep a new upload."""
    row = await con.fetchrow(SQL.insert_upload, new_uuid(), folder_id, path, size_bytes, sha256, user_id, modified_ns)
    return Upload(**row)


async def upload(con: Connection, folder_id: FolderId, upload_id: UUID) -> Upload | None:
    """Return an upload that is not complete."""
    row = await con.fetchrow(SQL.upload, upload_id, folder_id)
    return Upload(**row) if row else None


async def delete_upload(con: Connection, upload_id: UUID) -> bool:
    """Forget an upload; False when it is gone."""
    return await con.fetchval(SQL.delete_upload, upload_id) is not None


async def delete_uploads(con: Connection, upload_ids: list[UUID]) -> None:
    """Forget these uploads."""
    await con.fetch(SQL.delete_old_uploads, upload_ids)


async def uploads_before(con: Connection, age: timedelta, *, limit: int) -> list[UUID]:
    """Return uploads that were begun longer ago than `age`, oldest first."""
    return [row["id"] for row in await con.fetch(SQL.uploads_before, age, limit)]


async def open_uploads(con: Connection, project_id: ProjectId) -> int:
    """Return how many uploads into the project's folders have not ended."""
    return int(await con.fetchval(SQL.open_uploads, project_id))


async def stored(con: Connection, project_id: ProjectId) -> Amount:
    """Return what the project's folders hold, with what its open uploads will need."""
    row = await con.fetchrow(SQL.stored, project_id)
    return Amount(row["bytes"], row["files"])


async def add_stored(con: Connection, folder_id: FolderId, change: Amount) -> None:
    """Count a change of what the folder holds."""
    await con.execute(SQL.add_stored, folder_id, change.bytes, change.files)


async def next_to_measure(con: Connection, every: timedelta, quiet: timedelta) -> ToMeasure | None:
    """Return the folder whose walk is due longest, of those that have not changed for `quiet`; the next caller gets another one."""
    row = await con.fetchrow(SQL.next_to_measure, every, quiet)
    if row is None:
        return None
    return ToMeasure(row["id"], Amount(row["stored_bytes"], row["stored_files"]), row["changed_at"])


async def put_measured(con: Connection, of: ToMeasure, found: Amount) -> bool:
    """Correct what is counted; False when the folder changed during the walk."""
    return await con.fetchval(SQL.put_measured, of.id, found.bytes, found.files, of.changed_at) is not None
