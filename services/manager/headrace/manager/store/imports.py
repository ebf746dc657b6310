"""Queries: imports of models. A lease says which manager works on one; the row outlives it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from headrace.common.contracts.ids import FolderId, ImportId, SnapshotId
from headrace.common.contracts.model_uri import ModelSource
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.model_import import Import

SQL = Queries.beside(__file__)


async def want(con: Connection, folder_id: FolderId, source: ModelSource) -> None:
    """Have the import done that a revision needs, unless it is; lock it until the transaction ends."""
    await con.execute(SQL.want, source.import_id, folder_id, source.version, source.size_bytes, source.files)


async def of(con: Connection, ids: Sequence[ImportId]) -> dict[ImportId, Import]:
    """Return those of the imports that exist."""
    return {row["id"]: Import(**row) for row in await con.fetch(SQL.of, list(ids))} if ids else {}


async def claim(con: Connection, lease: UUID, duration: timedelta) -> Import | None:
    """Lease the next import that is needed and due; None if there is none."""
    claimed = await con.fetchval(SQL.claim, lease, duration)
    return None if claimed is None else (await of(con, [claimed]))[claimed]


async def renew(
    con: Connection, import_id: ImportId, lease: UUID, duration: timedelta, done_bytes: int, bytes_per_s: float | None
) -> bool:
    """Extend the lease and store the progress; return False when the lease is lost."""
    return await con.fetchval(SQL.renew, import_id, lease, duration, done_bytes, bytes_per_s) is not None


async def fail(con: Connection, import_id: ImportId, lease: UUID, error: str, after: timedelta) -> None:
    """Store why the import failed, and try again `after` that time."""
    await con.execute(SQL.fail, import_id, lease, error, after)


async def release(con: Connection, import_id: ImportId, lease: UUID) -> None:
    """Give the lease back."""
    await con.execute(SQL.release, import_id, lease)


async def finish(con: Connection, import_id: ImportId, lease: UUID, snapshot_id: SnapshotId) -> bool:
    """Store the content, also in the revisions and trial runs that wait for it; return False when the lease is lost."""
    if await con.fetchval(SQL.finish, import_id, lease, snapshot_id) is None:
        return False
    await fill(con, import_id, snapshot_id)
    return True


async def fill(con: Connection, import_id: ImportId, snapshot_id: SnapshotId) -> None:
    """Store the content in the revisions and trial runs that wait for it."""
    await con.execute(SQL.fill_revisions, import_id, snapshot_id)
    await con.execute(SQL.fill_sessions, import_id, snapshot_id)


async def unfilled(con: Connection, limit: int) -> list[tuple[ImportId, FolderId, SnapshotId]]:
    """Return imports that ended, whose content revisions or trial runs lack."""
    rows = [*await con.fetch(SQL.unfilled, limit), *await con.fetch(SQL.unfilled_trials, limit)]
    return [(row["id"], row["folder_id"], row["snapshot_id"]) for row in rows]


async def again(con: Connection, import_id: ImportId, snapshot_id: SnapshotId) -> None:
    """Have an import done again whose content is gone."""
    await con.execute(SQL.again, import_id, snapshot_id)


async def retry(con: Connection, import_id: ImportId) -> None:
    """Try a failed import again at once."""
    await con.execute(SQL.retry, import_id)


async def unused(con: Connection, age: timedelta, limit: int) -> list[FolderId]:
    """Return folders of model URIs that nothing needs, and that nobody asked for in this time."""
    return [row["id"] for row in await con.fetch(SQL.unused, age, limit)]


async def abandon(con: Connection, age: timedelta, limit: int) -> list[tuple[ImportId, FolderId]]:
    """Stop imports that no service needs, and that nobody asked for in this time; return them with their folders."""
    return [(row["id"], row["folder_id"]) for row in await con.fetch(SQL.abandon, age, limit)]


async def ids_of(con: Connection, folder_id: FolderId) -> list[ImportId]:
    """Return the imports into a folder."""
    return [row["id"] for row in await con.fetch(SQL.ids_of, folder_id)]


async def forget(con: Connection, folder_id: FolderId) -> None:
    """Delete the imports into a folder."""
    await con.execute(SQL.forget, folder_id)
