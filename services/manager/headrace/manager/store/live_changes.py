"""Queries: what changed lately, and who may see it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from headrace.common.contracts.ids import UserId
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.live_changes import Credential, LiveChange, Sight

SQL = Queries.beside(__file__)


async def snapshot(con: Connection) -> str:
    """Return a snapshot of the database: whatever is committed later is not in it."""
    return str(await con.fetchval(SQL.snapshot))


@dataclass(frozen=True)
class News:
    """Changes since an earlier snapshot, and the present one."""

    changes: list[LiveChange]
    snapshot: str
    went_back: bool
    """Whether the server has lost transactions since, so that changes may be missing."""


async def since(con: Connection, earlier: str, most: int) -> News:
    """Return at most `most` things that changed since the snapshot `earlier`, each once."""
    rows = await con.fetch(SQL.since, earlier, most)
    found = [LiveChange(row["kind"], row["thing_id"], row["project_id"]) for row in rows if row["kind"] is not None]
    return News(found, rows[0]["snapshot"], rows[0]["went_back"])


async def sights(con: Connection, credentials: Sequence[Credential], *, idle: timedelta) -> dict[Credential, Sight]:
    """Return what the holder of each of these credentials may see; one that does not count any more is missing."""
    logins, keys = [one.login_id for one in credentials], [one.key_id for one in credentials]
    return {
        Credential(row["login_id"], row["key_id"]): Sight(
            UserId(row["user_id"]), None if row["operator"] else frozenset(row["projects"])
        )
        for row in await con.fetch(SQL.sights, logins, keys, idle)
    }
