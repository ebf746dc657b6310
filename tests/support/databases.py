"""Databases of tests: cloned from a migrated template, and emptied for the next test where only rows have changed.

A clone takes 0.1 s of CPU and the drop of it as much again as a small test; to empty one takes a tenth of that.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

import asyncpg

from headrace.common.db.migrate import migrate
from headrace.manager.domain.lifecycle.states import TRANSITIONS
from tests.support.wait import eventually

TEMPLATE = "headrace_template"
_END_OTHERS = """
    select pg_terminate_backend(pid, 10000) from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()"""
_SHAPE = """
    select concat_ws(' ',
        (select string_agg(format('%s %s %s %s', oid, xmin, relpages, reltuples), ',' order by oid)
         from pg_class where relnamespace = 'public'::regnamespace),
        (select format('%s %s', count(*), max(xmin::text::bigint)) from pg_attribute),
        (select format('%s %s', count(*), max(xmin::text::bigint)) from pg_constraint),
        (select format('%s %s', count(*), max(xmin::text::bigint)) from pg_trigger),
        (select format('%s %s', count(*), max(xmin::text::bigint)) from pg_proc),
        (select format('%s %s', count(*), max(xmin::text::bigint)) from pg_namespace))"""
"""Of everything in a database but its rows: which tables, indexes, columns, functions there are, when each was changed last,
and what the planner knows of them. The same in each clone of a template."""
_TABLES = "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r' order by relname"
_IDENTITIES = "select seqrelid::regclass::text from pg_sequence order by 1"


@dataclass(frozen=True)
class _Made:
    """A database as the migrations make it."""

    shape: str
    empty: str
    """The statements that make its rows those of the template again."""


class Databases:
    """The databases of one server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._spare: list[str] = []
        self._made: _Made | None = None

    def _at(self, name: str) -> str:
        return f"{self._url.rsplit('/', 1)[0]}/{name}"

    async def take(self) -> str:
        """Return the URL of a database that is as the migrations make it."""
        if self._spare:
            return self._spare.pop()
        admin = await asyncpg.connect(self._url)
        try:
            if self._made is None:
                await admin.execute(f"create database {TEMPLATE}")
                self._made = await _prepare(self._at(TEMPLATE))
            name = f"test_{uuid4().hex[:12]}"
            await admin.execute(f"create database {name} template {TEMPLATE}")
        finally:
            await admin.close()
        return self._at(name)

    async def give_back(self, url: str) -> None:
        """End all connections to a database, and empty it for another test. It is dropped if more than rows has changed."""
        assert self._made is not None
        con = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
        try:
            await con.execute(_END_OTHERS)
            if reusable := await con.fetchval(_SHAPE) == self._made.shape:
                await con.execute(self._made.empty)
        finally:
            await con.close()
        if reusable:
            self._spare.append(url)
        else:
            await self._drop(url)

    async def _drop(self, url: str) -> None:
        admin = await asyncpg.connect(self._url)
        try:
            await eventually(lambda: _dropped(admin, url.rpartition("/")[2]))
        finally:
            await admin.close()


async def _prepare(template: str) -> _Made:
    """Migrate the template."""
    await migrate(template)
    con = await asyncpg.connect(template, server_settings={"timezone": "UTC"})
    try:
        await _refuse_other_transitions(con)
        tables = [row["relname"] for row in await con.fetch(_TABLES)]
        gone = ", ".join(f"gone_{table} as (delete from {table})" for table in tables)
        # All at once, since they refer to each other; then what triggers noted of that.
        noted = ("table_changes", "gone_names", "replica_usage")
        statements = [f"with {gone} select 1", *(f"delete from {table}" for table in noted)]
        for table in tables:
            rows = await con.fetchval(f"select jsonb_agg(to_jsonb(t)) from {table} t")
            if rows is not None:
                literal = await con.fetchval("select quote_literal($1::text)", rows)
                statements.append(
                    f"insert into {table} overriding system value "
                    f"select * from jsonb_populate_recordset(null::{table}, {literal}::jsonb)"
                )
        statements.append("delete from live_changes")  # what triggers noted of these rows; the template has none
        for name in await con.fetch(_IDENTITIES):
            last, called = await con.fetchrow(f"select last_value, is_called from {name[0]}") or (1, False)
            statements.append(f"select setval('{name[0]}', {last}, {called})")
        return _Made(await con.fetchval(_SHAPE), ";\n".join(statements))
    finally:
        await con.close()


async def _refuse_other_transitions(con: asyncpg.Connection[asyncpg.Record]) -> None:
    """Make the database refuse session transitions that are not in the table of states, in every test."""
    allowed = ", ".join(f"'{before} {after}'" for before, ways in TRANSITIONS.items() for after in ways)
    await con.execute(f"""
        create function refuse_other_transitions() returns trigger language plpgsql as $$ begin
            if not (old.status || ' ' || new.status = any(array[{allowed}])) then
                raise exception 'domain/lifecycle/states.py knows no transition of a session from % to %', old.status, new.status;
            end if;
            return new;
        end $$;
        create trigger sessions_refuse_other_transitions before update of status on sessions for each row
            when (old.status is distinct from new.status) execute function refuse_other_transitions()""")


async def _dropped(admin: asyncpg.Connection[asyncpg.Record], name: str) -> bool:
    """Drop the database; return False while autovacuum works there, which only a superuser may stop."""
    with suppress(asyncpg.InsufficientPrivilegeError):
        await admin.execute(f"drop database {name} with (force)")
        return True
    return False
