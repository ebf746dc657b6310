"""Fixtures of real PostgreSQL, NATS and Valkey for a whole run; a new database and an empty bus for each test."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from headrace.common.bus.connect import Bus, open_bus
from headrace.common.bus.permissions import embedded_users
from headrace.common.bus.streams import ensure_streams
from headrace.common.bus.subjects import STREAMS
from headrace.common.db.pool import Pool, open_pool
from headrace.embedded.blocking import servers_in_thread
from headrace.embedded.stack import EmbeddedServers
from tests.support.databases import Databases


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    """Start the three servers, with bus users for eight agents."""
    folder: Path = tmp_path_factory.mktemp("servers")
    with servers_in_thread(folder / "data", users=embedded_users(8), durable=False) as running:
        yield running


def with_database(url: str, name: str) -> str:
    """Return `url` with another database name."""
    return f"{url.rsplit('/', 1)[0]}/{name}"


@pytest.fixture(scope="session")
def databases(servers: EmbeddedServers) -> Databases:
    """The databases of these servers."""
    return Databases(servers.database_url)


@pytest.fixture
async def database_url(databases: Databases) -> AsyncIterator[str]:
    """A migrated database for the test."""
    url = await databases.take()
    yield url
    await databases.give_back(url)


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
