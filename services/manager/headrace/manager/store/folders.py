"""Queries: folders and their uploads (rows only; the files are in headrace.manager.folders)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import asyncpg

from headrace.common.contracts.ids import FolderId, ProjectId, UserId, new_uuid
from headrace.common.contracts.problems import NameTaken
from headrace.common.contracts.vocabulary import Role, UsageMode
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.access import Actor
from headrace.manager.domain.records.folders import DueFolder, Folder, FolderUsers, TrashedFolder
from headrace.manager.domain.records.uploads import Upload
from headrace.manager.domain.storage_usage import StorageChange, StorageUsage
from headrace.manager.store import rows

SQL = Queries.beside(__file__)
RESERVED_FOR: Final = timedelta(minutes=15)
"""Age of a reservation without renewal that is stale: its process ended."""


def folder_of(row: Mapping[str, Any]) -> Folder:
    """Return the folder of a row that has its columns."""
    return Folder(
        id=row["id"],
        project_id=row["project_id"],
        name=row["name"],
        usage_mode=row["usage_mode"],
        created_at=row["created_at"],
        source=row["source"],
    )


async def insert(
    con: Connection, project_id: ProjectId, name: str, usage_mode: UsageMode, *, source: str | None = None
) -> Folder:
    """Insert a folder; `source`: of the files of this model URI. Raises NameTaken."""
    try:
        return folder_of(await con.fetchrow(SQL.insert, new_uuid(), project_id, name, usage_mode, source))
    except asyncpg.UniqueViolationError:
        raise _taken(name) from None


async def find(
    con: Connection, reference: str, actor: Actor, project_id: ProjectId | None
) -> list[tuple[Folder, str, Role | None]]:
    """Return the folder that the caller sees under this id or name, its project's name and the caller's role there.

    Two entries mean that several projects use the name; an id comes alone or first.
    """
    found = await con.fetch(SQL.find, rows.as_uuid(reference), reference, *rows.visibility(actor), project_id)
    return [(folder_of(row), row["project"], row["role"]) for row in found]


async def of_source(con: Connection, project_id: ProjectId, uri: str) -> Folder | None:
    """Return the project's folder that holds the files of a model URI."""
    row = await con.fetchrow(SQL.of_source, project_id, uri)
    return folder_of(row) if row else None


async def by_id(con: Connection, folder_id: FolderId) -> Folder | None:
    """Return a folder that was not deleted."""
    row = await con.fetchrow(SQL.by_id, folder_id)
    return folder_of(row) if row else None


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
    found = await con.fetch(
        SQL.page, actor.operator, actor.user_id, project_id, usage_mode, after, limit, actor.projects
    )
    return [folder_of(row) for row in found]


async def hold(con: Connection, folder_ids: Iterable[FolderId]) -> dict[FolderId, str]:
    """Lock the folders against deletion and renaming until the transaction ends; return the names of those that exist."""
    return {row["id"]: row["name"] for row in await con.fetch(SQL.hold, list(folder_ids))}


async def lock(con: Connection, folder_id: FolderId) -> bool:
    """Lock the folder exclusively until the transaction ends; False when it is gone."""
    return await con.fetchval(SQL.lock, folder_id) is not None


async def rename(con: Connection, folder: Folder, name: str, *, home: str) -> Folder:
    """Rename the folder, also in the specs of live services that name it, whose mounts below `home` stay where they are.

    Raises NameTaken.
    """
    try:
        after = folder_of(await con.fetchrow(SQL.rename, folder.id, name))
    except asyncpg.UniqueViolationError:
        raise _taken(name) from None
    await con.execute(SQL.rename_in_specs, folder.id, folder.name, name, home)
    return after


async def users_of(con: Connection, folder_id: FolderId) -> tuple[list[str], int]:
    """Return the names of some services of its project that need the folder, and how many of other projects do."""
    row = await con.fetchrow(SQL.users_of, folder_id)
    return (list(row["names"]), row["others"]) if row else ([], 0)


async def services_of(con: Connection, actor: Actor, folder_id: FolderId, *, most: int) -> FolderUsers:
    """Return the services that mount the folder: at most so many of those that the caller sees, and how many in all."""
    row = await con.fetchrow(SQL.services_of, folder_id, *rows.visibility(actor), most)
    return FolderUsers(row["count"], tuple((name, project) for name, project in row["seen"]))


async def older_users_of(con: Connection, folder_id: FolderId) -> list[str]:
    """Return some services' older revisions that need the folder, as text."""
    return [f"{row['name']} (revision {row['number']})" for row in await con.fetch(SQL.older_users_of, folder_id)]


async def names(con: Connection, folder_ids: Sequence[FolderId], project_id: ProjectId) -> dict[FolderId, str]:
    """Return names by id, as specs of the project name them; also of deleted folders."""
    if not folder_ids:
        return {}
    return {row["id"]: row["name"] for row in await con.fetch(SQL.names, list(folder_ids), project_id)}


async def is_known(con: Connection, folder_id: FolderId) -> bool:
    """Return whether there is such a folder, or was."""
    return bool(await con.fetchval(SQL.is_known, folder_id))


async def names_of_deleted(con: Connection, folder_ids: Sequence[FolderId]) -> list[str]:
    """Return the names of those that were deleted."""
    return [row["name"] for row in await con.fetch(SQL.names_of_deleted, list(folder_ids))]


async def mark_deleted(con: Connection, folder_id: FolderId) -> list[UUID]:
    """Mark the folder deleted, delete its uploads and shares, and return the ids of the uploads."""
    await con.execute(SQL.mark_deleted, folder_id)
    return [row["id"] for row in await con.fetch(SQL.delete_uploads_of, folder_id)]


async def mark_trashed(con: Connection, folder_id: FolderId, by: str) -> list[UUID]:
    """Put the folder into the trash, delete its uploads, and return their ids."""
    await con.execute(SQL.mark_trashed, folder_id, by)
    return [row["id"] for row in await con.fetch(SQL.delete_uploads_of, folder_id)]


async def trash_page(
    con: Connection, actor: Actor, *, project_id: ProjectId | None, after: UUID, limit: int
) -> list[TrashedFolder]:
    """Return a page of the folders in the trash that the caller sees."""
    seen = (actor.operator, actor.user_id, project_id, actor.projects)
    return [
        TrashedFolder(
            folder_of(row),
            row["trashed_at"],
            row["trashed_by"] or "",
            StorageUsage(row["stored_bytes"], row["stored_files"]),
        )
        for row in await con.fetch(SQL.trash_page, *seen, after, limit)
    ]


async def find_trashed(
    con: Connection, reference: str, actor: Actor, project_id: ProjectId | None
) -> list[tuple[Folder, str, Role | None]]:
    """Return the folder in the trash that the caller sees under this id or name, as find() does; several may have a name."""
    found = await con.fetch(SQL.find_trashed, rows.as_uuid(reference), reference, *rows.visibility(actor), project_id)
    return [(folder_of(row), row["project"], row["role"]) for row in found]


async def has_name(con: Connection, project_id: ProjectId, name: str) -> bool:
    """Return whether the project has a folder of this name."""
    return bool(await con.fetchval(SQL.has_name, project_id, name))


async def lock_trashed(con: Connection, folder_id: FolderId) -> bool:
    """Lock a folder in the trash exclusively until the transaction ends; False when it is not there any more."""
    return await con.fetchval(SQL.lock_trashed, folder_id) is not None


async def due_in_trash(con: Connection, kept_for: timedelta, *, limit: int) -> list[tuple[FolderId, ProjectId, str]]:
    """Lock folders that were in the trash for `kept_for`, or whose project is gone; return id, project and name of each."""
    return [(row["id"], row["project_id"], row["name"]) for row in await con.fetch(SQL.due_in_trash, kept_for, limit)]


async def restore(con: Connection, folder_id: FolderId, name: str) -> Folder:
    """Take the folder out of the trash. Raises NameTaken."""
    try:
        return folder_of(await con.fetchrow(SQL.restore, folder_id, name))
    except asyncpg.UniqueViolationError:
        raise _taken(name) from None


async def deleted(con: Connection, *, limit: int) -> list[FolderId]:
    """Return the folders deleted last, whose files may still exist."""
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
    """Insert an upload."""
    row = await con.fetchrow(SQL.insert_upload, new_uuid(), folder_id, path, size_bytes, sha256, user_id, modified_ns)
    return Upload(**row)


async def upload(con: Connection, folder_id: FolderId, upload_id: UUID) -> Upload | None:
    """Return an incomplete upload."""
    row = await con.fetchrow(SQL.upload, upload_id, folder_id)
    return Upload(**row) if row else None


async def uploads_of(con: Connection, folder_id: FolderId, *, after: UUID, limit: int) -> list[tuple[Upload, str]]:
    """Return a page of the folder's incomplete uploads, and who began each."""
    found = [dict(row) for row in await con.fetch(SQL.uploads_of, folder_id, after, limit)]
    return [
        (Upload(**{name: value for name, value in row.items() if name != "created_by"}), row["created_by"])
        for row in found
    ]


async def delete_upload(con: Connection, upload_id: UUID) -> bool:
    """Delete an upload; False when it is gone."""
    return await con.fetchval(SQL.delete_upload, upload_id) is not None


async def delete_uploads(con: Connection, upload_ids: list[UUID]) -> None:
    """Delete these uploads."""
    await con.fetch(SQL.delete_old_uploads, upload_ids)


async def uploads_before(con: Connection, age: timedelta, *, limit: int) -> list[UUID]:
    """Return uploads begun longer ago than `age`, oldest first."""
    return [row["id"] for row in await con.fetch(SQL.uploads_before, age, limit)]


async def open_uploads(con: Connection, project_id: ProjectId) -> int:
    """Return the number of incomplete uploads into the project's folders."""
    return int(await con.fetchval(SQL.open_uploads, project_id))


async def stored(con: Connection, project_id: ProjectId) -> StorageUsage:
    """Return the project's storage usage: its folders, plus open uploads, plus reservations of other requests."""
    row = await con.fetchrow(SQL.stored, project_id, RESERVED_FOR)
    return StorageUsage(row["bytes"], row["files"])


async def reserve(con: Connection, folder_id: FolderId, reservation: UUID, more: StorageUsage) -> None:
    """Reserve storage for a request until it ends; further calls add to the reservation, and renew it."""
    await con.execute(SQL.reserve, reservation, folder_id, more.bytes, more.files)


async def settle(con: Connection, folder_id: FolderId, reservation: UUID, change: StorageChange) -> None:
    """Replace the request's reservation by its actual usage."""
    await con.execute(SQL.unreserve, reservation)
    gained, lost = change.gained, change.lost
    await con.execute(SQL.add_stored, folder_id, gained.bytes, gained.files, lost.bytes, lost.files)


async def drop_stale_reservations(con: Connection, *, limit: int) -> None:
    """Delete reservations of processes that ended."""
    await con.execute(SQL.drop_stale_reservations, RESERVED_FOR, limit)


async def next_to_measure(con: Connection, every: timedelta) -> DueFolder | None:
    """Return the folder whose usage walk is longest due; the next caller gets another one."""
    row = await con.fetchrow(SQL.next_to_measure, every)
    return DueFolder(row["id"], StorageUsage(row["stored_bytes"], row["stored_files"]), _ever(row)) if row else None


async def since(con: Connection, walked: DueFolder) -> StorageChange | None:
    """Lock the folder and return its usage change since the walk began; None while a request that changes it is in progress.

    A folder that is gone has not changed.
    """
    row = await con.fetchrow(SQL.gained_and_lost, walked.id, RESERVED_FOR)
    if row is None:
        return StorageChange()
    ever = _ever(row)
    return None if row["busy"] else StorageChange(ever.gained - walked.ever.gained, ever.lost - walked.ever.lost)


async def correct(con: Connection, folder_id: FolderId, by: StorageUsage) -> None:
    """Add a correction to the counted usage."""
    await con.execute(SQL.correct_stored, folder_id, by.bytes, by.files)


async def measure_again(con: Connection, folder_id: FolderId, every: timedelta, soon: timedelta) -> None:
    """Make the folder's next walk due `soon`."""
    await con.execute(SQL.measure_again, folder_id, every, soon)


def _taken(name: str) -> NameTaken:
    return NameTaken(f"the project has a folder {name} already")


def _ever(row: Mapping[str, Any]) -> StorageChange:
    return StorageChange(
        StorageUsage(row["gained_bytes"], row["gained_files"]), StorageUsage(row["lost_bytes"], row["lost_files"])
    )
