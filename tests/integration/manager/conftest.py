"""Fixtures of the manager's integration tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from headrace.common.db.pool import Pool
from tests.support.worlds.manager_api import ManagerApi, serving


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[ManagerApi]:
    """The API on a fresh database."""
    async with serving(pool, tmp_path) as running:
        yield running
