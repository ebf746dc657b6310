"""An autoscaler in the test's own process, or as processes that can be killed, on real NATS and Valkey."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from headrace.autoscaler.settings import Settings
from headrace.autoscaler.wiring import build
from headrace.common.bus.connect import Bus, open_bus
from headrace.common.runtime.service import run_tasks
from headrace.embedded.stack import EmbeddedServers
from tests.support.fakes.manager import FakeManager, Fleet
from tests.support.ports import free_port
from tests.support.wait import eventually

QUICK = {
    "tick_s": 0.1,
    "flush_s": 0.05,
    "window_s": 1.0,
    "freshness_s": 1.0,
    "lease_s": 1.0,
    "report_s": 1.0,
    "ask_timeout_s": 30.0,
    "patience_s": 60.0,
}
"""Times short enough for a test. Those after which an answer counts as lost are long: a loaded machine answers late."""


@pytest.fixture
async def manager(bus: Bus) -> AsyncIterator[FakeManager]:
    async with FakeManager(bus).running() as running:
        yield running


@pytest.fixture
async def fleet(servers: EmbeddedServers) -> AsyncIterator[Fleet]:
    """Speaks as an agent and an app-proxy do: what the manager's user publishes does not reach autoscalers."""

    def bus_of(name: str) -> AbstractAsyncContextManager[Bus]:
        user, password = servers.nats_user(name)
        return open_bus(servers.nats_url, user=user, password=password, name=f"fleet-{name}")

    async with bus_of("agent-1") as agent, bus_of("appproxy") as proxy, Fleet(agent, proxy).running() as running:
        yield running


@pytest.fixture
async def redis(servers: EmbeddedServers) -> AsyncIterator[Redis]:
    client = Redis.from_url(servers.redis_url, decode_responses=True)
    yield client
    await client.aclose()


Environment = Callable[..., dict[str, Any]]


@pytest.fixture
def environment(servers: EmbeddedServers) -> Environment:
    """Settings by name; arguments replace some."""

    def make(**changes: Any) -> dict[str, Any]:
        user, password = servers.nats_user("autoscaler")
        return {
            "id": "autoscaler-1",
            "nats_url": servers.nats_url,
            "nats_user": user,
            "nats_password": password,
            "redis_url": servers.redis_url,
            "admin_port": free_port(),
            **QUICK,
            **changes,
        }

    return make


Running = Callable[..., AbstractAsyncContextManager[str]]


@pytest.fixture
def autoscaler(environment: Environment) -> Running:
    """`async with autoscaler(tick_s=…) as admin_url`: one in this process, ready at first; stopped in order at the end."""

    @asynccontextmanager
    async def run(**changes: Any) -> AsyncIterator[str]:
        settings = Settings(**environment(**changes))
        stop = asyncio.Event()
        async with build(settings) as tasks:
            running = asyncio.create_task(run_tasks(tasks, stop))
            url = f"http://127.0.0.1:{settings.admin_port}"
            await ready(url)
            yield url
            stop.set()
            await running

    return run


@dataclass
class Process:
    """An autoscaler as a process."""

    url: str
    child: subprocess.Popen[bytes]
    log: Path


@pytest.fixture
def process(environment: Environment, tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start `python -m headrace.autoscaler`; whatever still runs at the end is killed."""
    with ExitStack() as stack:

        def start(**changes: Any) -> Process:
            wanted = environment(**changes)
            env = {f"HEADRACE_AUTOSCALER_{name.upper()}": str(value) for name, value in wanted.items()}
            path = tmp_path / f"{wanted['id']}.log"
            log = stack.enter_context(path.open("wb"))
            command = [sys.executable, "-m", "headrace.autoscaler"]
            child = subprocess.Popen(command, env={**os.environ, **env}, stdout=log, stderr=log)
            stack.callback(child.wait, 10)
            stack.callback(child.kill)
            return Process(f"http://127.0.0.1:{wanted['admin_port']}", child, path)

        yield start


async def ready(url: str, *, within_s: float = 60) -> None:
    """Return once the autoscaler says that it is ready."""
    async with httpx.AsyncClient(verify=False, timeout=60) as http:

        async def probe() -> bool:
            try:
                answer = await http.get(f"{url}/readyz")
            except httpx.TransportError:
                return False
            return answer.status_code == 200

        await eventually(probe, within_s=within_s)
