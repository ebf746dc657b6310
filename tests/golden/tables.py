"""Rows of all tables, as a database has them and as tests/golden/tables.json keeps them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import asyncpg

from headrace.common.db.migrate import Migration, load_migrations

Rows: TypeAlias = dict[str, list[dict[str, Any]]]
"""By table."""
MIGRATIONS: Final = ("schema_migrations", "schema_expansions")
"""Tables of what was applied; a release has the first, or both."""
_COLUMNS: Final = """
    select c.relname::text as of_table, array_agg(a.attname::text order by a.attnum) as columns
    from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.atttypid <> 'xid8'::regtype
    group by c.relname order by c.relname"""
"""All tables with their columns, but for transaction ids, which mean nothing in another database."""


async def dump(con: asyncpg.Connection[asyncpg.Record]) -> Rows:
    """Return the rows of every table, of one moment."""
    found: Rows = {}
    async with con.transaction(isolation="repeatable_read", readonly=True):
        await con.execute("set local timezone to 'UTC'")
        for table in await con.fetch(_COLUMNS):
            name, columns = table["of_table"], _named(table["columns"])
            rows = await con.fetch(f"select to_jsonb(r)::text as row from (select {columns} from {name}) r order by 1")
            found[name] = [json.loads(row["row"]) for row in rows]
    return found


async def restore(con: asyncpg.Connection[asyncpg.Record], rows: Rows) -> list[Migration]:
    """Make the schema of that release in an empty database, and its rows as they were; return the migrations that it lacks.

    A migration of that release is applied as this one has it: the next start compares the checksums of both.
    """
    applied = {row["number"] for name in MIGRATIONS for row in rows.get(name, ())}
    later: list[Migration] = []
    for migration in load_migrations():
        if migration.number in applied:
            await con.execute(migration.sql)
        else:
            later.append(migration)
    for name in MIGRATIONS:
        if name in rows:
            await con.execute(
                f"create table {name} (number integer primary key, name text not null, checksum text not null, "
                "applied_at timestamptz not null)"
            )
    await _fill(con, rows)
    return later


async def _fill(con: asyncpg.Connection[asyncpg.Record], rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    there = [table["of_table"] for table in await con.fetch(_COLUMNS)]
    assert there == sorted(rows), f"the tables are {there}, and there are rows of {sorted(rows)}"
    for table in there:
        await con.execute(f"alter table {table} disable trigger user")
        await con.execute(f"delete from {table}")  # what migrations put there comes with the rows
    filled = [table for table in there if rows[table]]
    inserts = [
        f"into_{table} as (insert into {table} ({_named(rows[table][0])}) overriding system value "
        f"select {_named(rows[table][0])} from jsonb_populate_recordset(null::{table}, ${number}::text::jsonb))"
        for number, table in enumerate(filled, 1)
    ]
    # All at once, since they refer to each other.
    await con.execute(f"with {', '.join(inserts)} select 1", *(json.dumps(rows[table]) for table in filled))
    for table in there:
        await con.execute(f"alter table {table} enable trigger user")


def _named(columns: Sequence[str] | Mapping[str, Any]) -> str:
    return ", ".join(f'"{column}"' for column in columns)
