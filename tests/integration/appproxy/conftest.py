"""A world with a running app-proxy, without a bus; on the event loop that the service runs on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import uvloop

from tests.support.fakes.clock import StoppableClock
from tests.support.worlds.appproxy import AppProxyWorld, running
from tests.support.worlds.appproxy_callers import NOON


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Resets, half-closed connections and flow control are the loop's: test the one that is used."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[AppProxyWorld]:
    """An app-proxy with short timeouts that never saw a bus."""
    async with running(
        tmp_path / "data", connect_timeout_s=0.5, domain="models.test", caller_idle_timeout_s=1.0, head_timeout_s=1.0
    ) as one:
        yield one


@pytest.fixture
def clock(world: AppProxyWorld) -> StoppableClock:
    """The time that `world` goes by: it stands at a noon (UTC)."""
    world.stop_time(at=NOON)
    return world.clock
