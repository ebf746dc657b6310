"""Fixtures of the manager's integration tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headrace.common.bus.connect import Bus
from headrace.common.db.pool import Pool
from headrace.embedded.stack import EmbeddedServers
from tests.support.worlds.manager import ManagerWorld, manager_world
from tests.support.worlds.manager_api import ManagerApi, serving


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[ManagerApi]:
    """The API on a fresh database."""
    async with serving(pool, tmp_path) as running:
        yield running


@pytest.fixture
async def world(pool: Pool, bus: Bus, servers: EmbeddedServers) -> AsyncIterator[ManagerWorld]:
    """Managers on a fresh database and an empty bus, of which none runs yet."""
    async with manager_world(pool, servers) as made:
        yield made
