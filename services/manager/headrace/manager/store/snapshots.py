"""Queries: which snapshots of model folders are needed."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.common.contracts.ids import FolderId, SnapshotId
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries

SQL = Queries.beside(__file__)


async def needed(con: Connection, folder_id: FolderId, snapshot_ids: Sequence[SnapshotId]) -> set[SnapshotId]:
    """Return those of the folder's snapshots that a revision or a session needs."""
    return {row["id"] for row in await con.fetch(SQL.needed, folder_id, list(snapshot_ids))}
