"""Fixtures of real PostgreSQL, NATS and Valkey for a whole run; a new database and an empty bus for each test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from headrace.common.bus.connect import Bus, open_bus
from headrace.common.bus.permissions import embedded_users
from headrace.common.bus.streams import ensure_streams
from headrace.common.bus.subjects import STREAMS
from headrace.common.db.migrate import migrate
from headrace.common.db.pool import Pool, open_pool
from headrace.embedded.blocking import servers_in_thread
from headrace.embedded.stack import EmbeddedServers
from headrace.manager.domain.lifecycle.states import TRANSITIONS
from tests.support.wait import eventually

TEMPLATE = "headrace_template"


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    """Start the three servers, with bus users for eight agents."""
    folder: Path = tmp_path_factory.mktemp("servers")
    with servers_in_thread(folder / "data", users=embedded_users(8), durable=False) as running:
        yield running


def with_database(url: str, name: str) -> str:
    """Return `url` with another database name."""
    return f"{url.rsplit('/', 1)[0]}/{name}"


@pytest.fixture
async def database_url(servers: EmbeddedServers) -> AsyncIterator[str]:
    """Create a migrated database for the test; cloned from a template in about 0.1 s."""
    name = f"test_{uuid4().hex[:12]}"
    admin = await asyncpg.connect(servers.database_url)
    try:
        await admin.execute("select pg_advisory_lock(1)")
        if not await admin.fetchval("select count(*) from pg_database where datname = $1", TEMPLATE):
            await admin.execute(f"create database {TEMPLATE}")
            await migrate(with_database(servers.database_url, TEMPLATE))
            await _refuse_other_transitions(with_database(servers.database_url, TEMPLATE))
        await admin.execute(f"create database {name} template {TEMPLATE}")
        await admin.execute("select pg_advisory_unlock(1)")
        yield with_database(servers.database_url, name)
        await eventually(lambda: _dropped(admin, name))
    finally:
        await admin.close()


async def _refuse_other_transitions(url: str) -> None:
    """Make the database refuse session transitions that are not in the table of states, in every test."""
    allowed = ", ".join(f"'{before} {after}'" for before, ways in TRANSITIONS.items() for after in ways)
    con = await asyncpg.connect(url)
    try:
        await con.execute(f"""
            create function refuse_other_transitions() returns trigger language plpgsql as $$ begin
                if not (old.status || ' ' || new.status = any(array[{allowed}])) then
                    raise exception 'domain/lifecycle/states.py knows no transition of a session from % to %', old.status, new.status;
                end if;
                return new;
            end $$;
            create trigger sessions_refuse_other_transitions before update of status on sessions for each row
                when (old.status is distinct from new.status) execute function refuse_other_transitions()""")
    finally:
        await con.close()


async def _dropped(admin: asyncpg.Connection[asyncpg.Record], name: str) -> bool:
    """Drop the database; return False while autovacuum works there, which only a superuser may stop."""
    with suppress(asyncpg.InsufficientPrivilegeError):
        await admin.execute(f"drop database {name} with (force)")
        return True
    return False


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Open a pool on the test's database."""
    async with open_pool(database_url, size=5) as opened:
        yield opened


@pytest.fixture
async def bus(servers: EmbeddedServers) -> AsyncIterator[Bus]:
    """Open the manager's connection, with the streams created anew and empty."""
    user, password = servers.nats_user("manager")
    async with open_bus(servers.nats_url, user=user, password=password, name=f"test-{os.getpid()}") as opened:
        js = JetStreamContext(opened.client, timeout=5)
        for stream in STREAMS:
            with suppress(NotFoundError):
                await js.delete_stream(stream)
        await ensure_streams(opened)
        yield opened
