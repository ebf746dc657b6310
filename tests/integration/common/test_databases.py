"""The tests' own databases: what one test leaves, the next does not find."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest

from headrace.common.contracts.ids import new_uuid
from tests.support.databases import Databases
from tests.support.wait import eventually


async def _all_of(url: str) -> dict[str, list[dict[str, Any]]]:
    """Return the rows of each table, and the next values of its identities."""
    con = await asyncpg.connect(url)
    try:
        names = await con.fetch(
            "select relname, relkind from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'S')"
        )
        told = "last_value, is_called"  # of a sequence: the rest is how far its log has come
        return {
            row["relname"]: sorted(
                map(dict, await con.fetch(f"select {'*' if row['relkind'] == b'r' else told} from {row['relname']}")),
                key=str,
            )
            for row in names
        }
    finally:
        await con.close()


async def _make_rows(database: str) -> asyncpg.Connection[asyncpg.Record]:
    """Insert rows as a test does, and return the connection that it leaves open."""
    con = await asyncpg.connect(database)
    user, project, service, revision = (new_uuid() for _ in range(4))
    await con.execute("insert into users (id, name) values ($1, 'someone')", user)
    await con.execute("insert into projects (id, name) values ($1, 'p')", project)
    async with con.transaction():
        await con.execute(
            "insert into services (id, project_id, name, wanted, resource_group, revision_id, drain_grace_s, created_by) "
            "values ($1, $2, 'name', 1, 'default', $3, 5, $4)",
            service,
            project,
            revision,
            user,
        )
        await con.execute(
            "insert into revisions (id, service_id, number, spec, resolved, created_by) "
            "values ($1, $2, 1, '{}', '{\"models\": []}', $3)",
            revision,
            service,
            user,
        )
    await con.execute("insert into resource_groups (name) values ('another')")
    return con


async def test_rows_of_a_test_are_gone_and_what_the_migrations_insert_is_there(databases: Databases) -> None:
    fresh = await databases.take()
    for _ in range(5):  # one that autovacuum has changed meanwhile is dropped, and another one comes
        used = await databases.take()
        before = await _all_of(used)
        con = await _make_rows(used)
        changed = await _all_of(used)
        assert {name for name in before if before[name] != changed[name]} >= {
            "services",
            "revisions",
            "resource_groups",
        }
        await databases.give_back(used)
        await eventually(con.is_closed, what="what a test left connected is not connected any more")
        again = await databases.take()
        if again == used:
            break
        await databases.give_back(again)
    assert again == used
    after = await _all_of(used)
    assert after.keys() > {"services", "table_changes_id_seq"}
    assert after == before
    await databases.give_back(used)
    await databases.give_back(fresh)


@pytest.mark.parametrize(
    "change",
    [
        "alter table users add column more int",
        "alter table users drop column name",
        "alter table users alter column name drop not null",
        "create index more on users (name)",
        "drop trigger services_made on services",
        "create or replace function note_change() returns trigger language plpgsql as $$ begin return new; end $$",
        "create table more ()",
        "create schema more",
        "analyze",
    ],
)
async def test_a_database_of_which_more_than_rows_has_changed_is_not_used_again(
    databases: Databases, change: str
) -> None:
    used = await databases.take()
    con = await asyncpg.connect(used)
    await con.execute(change)
    await con.close()
    await databases.give_back(used)
    another = await databases.take()
    assert another != used
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(used)
    await databases.give_back(another)
