"""Queries: first start of an installation."""

from __future__ import annotations

from headrace.common.contracts.ids import UserId
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries

SQL = Queries.beside(__file__)


async def lock_bootstrap(con: Connection) -> None:
    """Lock the bootstrap: one manager at a time."""
    await con.execute(SQL.lock_bootstrap)


async def first_start(con: Connection) -> bool:
    """Return whether there never was a project."""
    return not await con.fetchval(SQL.any_project)


async def delete_keys_named(con: Connection, user_id: UserId, name: str) -> None:
    """Delete the user's keys of this name."""
    await con.execute(SQL.delete_keys_named, user_id, name)
