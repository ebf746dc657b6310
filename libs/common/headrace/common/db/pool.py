"""The connection pool: UTC, JSON codecs, a bound on every statement."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from urllib.parse import urlsplit

import asyncpg

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]
    Pool: TypeAlias = asyncpg.Pool[asyncpg.Record]
else:
    Connection = asyncpg.Connection
    Pool = asyncpg.Pool


DATABASE_AWAY: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # it shuts down, crashed, or starts; or a statement took too long
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # asyncpg's error for a connection that was closed between two messages
    ConnectionError,
    TimeoutError,
)
"""Errors that say of the database that it is away or does not answer in time, and nothing of what it was asked."""
IDLE_S = 60.0
"""Idle time after which a connection is closed."""
ACQUIRE_S = 10.0
"""Default acquire time-out. `TimeoutError` after that."""
MAX_QUERIES = 10_000
"""Statements after which a connection is replaced: so a server that refuses new connections is noticed."""


async def _prepare(connection: Connection) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(kind, encoder=json.dumps, decoder=json.loads, schema="pg_catalog")


async def _keep(_: Connection) -> None:
    """Skip asyncpg's session reset on release, which costs a round trip: nothing is left in a session (settings,
    listeners, locks).

    The client ends an open transaction itself.
    """


class _BoundedPool(Pool):  # type: ignore[misc]  # asyncpg says no types
    """Connection pool whose acquire() always has a time-out; asyncpg has no such setting."""

    __slots__ = ("_acquire_s",)

    def __init__(self, *args: Any, acquire_s: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._acquire_s = acquire_s

    def acquire(self, *, timeout: float | None = None) -> asyncpg.pool.PoolAcquireContext:
        """Return a connection, as a context or awaited; waits at most `timeout` seconds, by default the pool's."""
        return super().acquire(timeout=self._acquire_s if timeout is None else timeout)


@asynccontextmanager
async def open_pool(
    url: str,
    *,
    size: int = 10,
    statement_timeout_s: float = 15.0,
    acquire_s: float = ACQUIRE_S,
    application: str = "headrace",
) -> AsyncIterator[Pool]:
    """Open a pool of at most `size` connections; close it on leaving.

    Statements and idle transactions end after `statement_timeout_s`; acquire waits at most `acquire_s` for a
    connection. A server that shuts down and waits for its clients gets its connections back. `url` may name several servers
    (`host1,host2`), with `target_session_attrs=read-write`: the one that takes writes is used.
    """

    async def connect(*args: Any, **options: Any) -> asyncpg.Connection[asyncpg.Record]:
        try:
            return await asyncpg.connect(*args, **options)
        except asyncpg.CannotConnectNowError:
            # each is closed at its next use, the others after their idle time
            await pool.expire_connections()
            raise
        except asyncpg.TargetServerAttributeNotMatched as error:
            raise ConnectionError(f"PostgreSQL at {where}: no server takes writes now") from error
        except OSError as error:
            raise ConnectionError(
                f"PostgreSQL at {where}: {error.strerror or str(error) or 'no answer in time'}"
            ) from error

    where = urlsplit(url).netloc.rpartition("@")[2] or "its socket"
    milliseconds = str(int(statement_timeout_s * 1000))
    pool = _BoundedPool(
        url,
        acquire_s=acquire_s,
        connection_class=asyncpg.Connection,
        record_class=asyncpg.Record,
        loop=None,
        connect=connect,
        min_size=1,
        max_size=size,
        max_inactive_connection_lifetime=IDLE_S,
        max_queries=MAX_QUERIES,
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
    await pool
    try:
        yield pool
    finally:
        await pool.close()


@asynccontextmanager
async def transaction(pool: Pool, *, isolation: str = "read_committed") -> AsyncIterator[Connection]:
    """Yield a connection in a transaction: committed on leaving, rolled back on an error. Never await the network
    inside.
    """
    async with pool.acquire(timeout=15) as connection, connection.transaction(isolation=isolation):
        yield connection
