"""Queries: counts for metrics."""

from __future__ import annotations

from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.counts import ServiceCount

SQL = Queries.beside(__file__)


async def agents(con: Connection) -> dict[str, int]:
    """Return machines by status: `alive`, `lost`."""
    row = await con.fetchrow(SQL.agents)
    return dict(row) if row is not None else {}


async def services(con: Connection, most: int) -> list[ServiceCount]:
    """Return the replicas of the services that should have any."""
    return [ServiceCount(**row) for row in await con.fetch(SQL.services, most)]


async def last_backup(con: Connection) -> float:
    """Return when the newest backup was complete (Unix time); 0 if none is known."""
    return float(await con.fetchval(SQL.last_backup) or 0.0)
