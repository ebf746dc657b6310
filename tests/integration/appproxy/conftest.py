"""A world with a running app-proxy, without a bus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.appproxy.world import World, running


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """An app-proxy with short timeouts that never saw a bus."""
    async with running(
        tmp_path / "data", connect_timeout_s=0.5, domain="models.test", caller_idle_timeout_s=1.0
    ) as one:
        yield one
