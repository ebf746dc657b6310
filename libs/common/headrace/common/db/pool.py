"""The connection pool: UTC, JSON codecs, a bound on every statement."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import asyncpg

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool


async def _prepare(connection: Connection) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(kind, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def _keep(_: Connection) -> None:
    """Ask nothing of the server: nobody leaves anything in a session (settings, listeners, locks beyond a transaction).

    The client ends an open transaction itself. Its usual reset is one more round trip for each use of a connection.
    """


@asynccontextmanager
async def open_pool(
    url: str, *, size: int = 10, statement_timeout_s: float = 15.0, application: str = "headrace"
) -> AsyncIterator[Pool]:
    """Open a pool of at most `size` connections; close it on leaving.

    Statements and idle transactions are cut after `statement_timeout_s`; a connection is waited for at most as long.
    """
    milliseconds = str(int(statement_timeout_s * 1000))
    pool = await asyncpg.create_pool(
        url,
        min_size=1,
        max_size=size,
        timeout=10,
        command_timeout=statement_timeout_s + 5,
        init=_prepare,
        reset=_keep,
        server_settings={
            "application_name": application,
            "timezone": "UTC",
            "statement_timeout": milliseconds,
            "idle_in_transaction_session_timeout": milliseconds,
        },
    )
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def transaction(pool: Pool, *, isolation: str = "read_committed") -> AsyncIterator[Connection]:
    """One connection in one transaction: committed on leaving, rolled back on an error. Never await the network inside."""
    async with pool.acquire(timeout=15) as connection, connection.transaction(isolation=isolation):
        yield connection
