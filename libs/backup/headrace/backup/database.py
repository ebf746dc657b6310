"""The rows of all tables, out of one snapshot and into an empty database."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import socket
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from graphlib import TopologicalSorter
from typing import Final
from uuid import UUID

import asyncpg

from headrace.backup.archive import Writer
from headrace.backup.errors import BackupError
from headrace.common.contracts.ids import new_uuid
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries

SQL = Queries.beside(__file__)
_SCHEMA: Final = ("schema_migrations", "schema_expansions")
UNDER_WAY: Final = (
    *_SCHEMA,
    "table_changes",
    "live_changes",
    "webhook_deliveries",
    "uploads",
    "reservations",
    "service_instances",
)
"""Tables that are not kept: the first two are in the manifest, the others are of requests that have not ended, and of running
processes."""
PART_BYTES: Final = 4 << 20
"""Rows that are held in memory before they are written."""
TABLE_S: Final = 4 * 3600.0
"""Longest time for the rows of one table."""
_STATEMENT_S: Final = 60.0
_LOCK_S: Final = 10
_FOLDERS_AT_ONCE: Final = 1000


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    """Yield a connection. Raises BackupError where there is none."""
    try:
        connection = await asyncpg.connect(
            url,
            timeout=10,
            command_timeout=_STATEMENT_S,
            server_settings={"application_name": "headrace-backup", "timezone": "UTC", "lock_timeout": f"{_LOCK_S}s"},
        )
    except (OSError, TimeoutError) as error:
        raise BackupError(f"the database cannot be reached: {str(error) or 'no answer within 10 s'}") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise BackupError(_refused(error)) from None
    try:
        yield connection
    except TimeoutError:
        raise BackupError("the database did not answer in time; run the same command again") from None
    except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise BackupError(_refused(error)) from None
    finally:
        await connection.close(timeout=5)


async def migrations(connection: Connection) -> dict[int, str]:
    """Return number → checksum of the applied migrations; none for an empty database."""
    there = await connection.fetchrow(SQL.is_migrated)
    assert there is not None  # noqa: S101 - a select without a table
    required = await connection.fetch(SQL.required_migrations) if there["required"] else []
    expansions = await connection.fetch(SQL.expansions) if there["expansions"] else []
    return {row["number"]: row["checksum"] for row in (*required, *expansions)}


async def tables(connection: Connection) -> dict[str, tuple[str, ...]]:
    """Return the tables that are kept, with their columns."""
    return {row["name"]: tuple(row["columns"]) for row in await connection.fetch(SQL.tables, UNDER_WAY)}


async def write_rows(connection: Connection, table: str, columns: Sequence[str], writer: Writer) -> int:
    """Write all rows of a table in parts, and return how many there are."""
    waiting, number = bytearray(), 0

    async def flush() -> None:
        nonlocal number
        if waiting:
            number += 1
            await asyncio.to_thread(writer.rows, table, number, bytes(waiting))
            waiting.clear()

    async def take(rows: bytes) -> None:
        waiting.extend(rows)
        if len(waiting) >= PART_BYTES:
            await flush()

    query = f"select {_named(columns)} from {_quoted(table)}"  # noqa: S608 - names from the catalogue, quoted
    done = await connection.copy_from_query(query, output=take, timeout=TABLE_S)
    await flush()
    return int(done.rpartition(" ")[2])


async def count_folders(connection: Connection) -> int:
    """Return how many folders there are that are not deleted."""
    return int(await connection.fetchval(SQL.folders))


async def folder_ids(connection: Connection) -> AsyncIterator[str]:
    """Yield the ids of all folders that are not deleted."""
    after = UUID(int=0)
    while found := await connection.fetch(SQL.folder_ids, after, _FOLDERS_AT_ONCE):
        for row in found:
            yield row["id"]
        after = UUID(found[-1]["id"])


async def check_empty(connection: Connection) -> None:
    """Raise BackupError if there is more than what a manager makes at its first start, or if one runs."""
    found = await connection.fetchrow(SQL.contents)
    more = [f"{count} {what}" for what, count in (found or {}).items() if count > 0]
    if more:
        raise BackupError(
            f"the installation is not empty: found {', '.join(more)}; allowed: one whose managers have not started yet, "
            "or were started and nothing more"
        )
    if count := await connection.fetchval(SQL.managers):
        raise BackupError(
            f"managers are connected to the database ({count} connections); stop all managers and run this again"
        )


async def make_empty(connection: Connection, names: Collection[str]) -> None:
    """Lock all tables, and take away what a first start made. Raises BackupError as check_empty() does."""
    await connection.execute(f"lock table {_named(sorted(names))} in access exclusive mode")
    await check_empty(connection)
    others = [name for name in UNDER_WAY if name not in _SCHEMA]
    await connection.execute(f"truncate {_named(sorted([*names, *others]))}")


async def read_rows(connection: Connection, table: str, columns: Sequence[str], parts: AsyncIterator[bytes]) -> int:
    """Insert the rows of a table, and return how many there were. Triggers do not fire."""
    done = await connection.copy_to_table(table, source=parts, columns=list(columns), timeout=TABLE_S)
    return int(done.rpartition(" ")[2])


@asynccontextmanager
async def without_triggers(connection: Connection, names: Iterable[str]) -> AsyncIterator[None]:
    """Keep triggers from acting on rows that come back as they were."""
    for name in names:
        await connection.execute(f"alter table {_quoted(name)} disable trigger user")
    yield
    await connection.execute("set constraints all immediate")
    for name in names:
        await connection.execute(f"alter table {_quoted(name)} enable trigger user")


async def finish(connection: Connection) -> None:
    """Let everything be published anew, in generations that no reader has seen, and number rows on."""
    for identity in await connection.fetch(SQL.identities):
        column, table = _quoted(identity["of_column"]), _quoted(identity["of_table"])
        await connection.execute(
            f"select setval('{identity['sequence']}', (select coalesce(max({column}), 0) + 1 from {table}), false)"  # noqa: S608
        )
    await connection.execute(SQL.publish_anew)
    await connection.execute(SQL.note_all_changed)


async def record(connection: Connection, action: str, **details: str) -> None:
    """Insert an event into the audit log, by the account that runs this. Does nothing at a server that is read only."""
    by = f"uid {os.getuid()}"
    with suppress(KeyError):
        by = pwd.getpwuid(os.getuid()).pw_name
    by = f"{by} on {socket.gethostname()}"
    with suppress(asyncpg.ReadOnlySQLTransactionError):
        await connection.execute(SQL.record, new_uuid(), by[:200], action, json.dumps(details))


async def order(connection: Connection, names: Collection[str]) -> dict[str, int]:
    """Return table → its place in an order in which no row comes before one that it refers to."""
    needed: dict[str, set[str]] = {name: set() for name in names}
    for row in await connection.fetch(SQL.references):
        if row["of_table"] in needed and row["to_table"] in needed:
            needed[row["of_table"]].add(row["to_table"])
    return {name: place for place, name in enumerate(_sorted(needed))}


def _refused(error: Exception) -> str:
    """Return what the server said, in one line: it shows no row, which may hold what is secret."""
    return f"the database refused: {str(error).splitlines()[0] if str(error) else type(error).__name__}"


def _sorted(needed: Mapping[str, set[str]]) -> Iterator[str]:
    return iter(TopologicalSorter(needed).static_order())


def _named(names: Iterable[str]) -> str:
    return ", ".join(_quoted(name) for name in names)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
