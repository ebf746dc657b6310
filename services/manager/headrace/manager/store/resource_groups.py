"""Queries: resource groups."""

from __future__ import annotations

import asyncpg

from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.resource_groups import ResourceGroup

SQL = Queries.beside(__file__)


async def lock(con: Connection) -> None:
    """Lock the groups against new ones until the transaction ends."""
    await con.execute(SQL.lock)


async def count(con: Connection) -> int:
    """Return the number of groups."""
    return int(await con.fetchval(SQL.count))


async def insert(con: Connection, name: str) -> ResourceGroup | None:
    """Insert a group; None when there is one of that name."""
    row = await con.fetchrow(SQL.insert, name)
    return ResourceGroup(**row) if row else None


async def page(con: Connection, *, after: str, limit: int) -> list[ResourceGroup]:
    """Return a page of groups, by name."""
    return [ResourceGroup(**row) for row in await con.fetch(SQL.page, after, limit)]


async def hold(con: Connection, name: str) -> bool:
    """Lock the group until the transaction ends, so that nothing is put into it; False when there is none."""
    return await con.fetchval(SQL.hold, name) is not None


async def users(con: Connection, name: str) -> tuple[int, int]:
    """Return how many machines and living services are in the group."""
    row = await con.fetchrow(SQL.users, name)
    return row["machines"], row["services"]


async def delete(con: Connection, name: str) -> bool:
    """Delete a group; False when kept rows still name it. The transaction is over then."""
    try:
        await con.execute(SQL.delete, name)
    except asyncpg.ForeignKeyViolationError:
        return False
    return True
