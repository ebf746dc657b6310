"""Replicas come and go by real route tables under load."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
from aiohttp import web

from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import publish_last
from headrace.embedded.stack import EmbeddedServers
from tests.support.factories.route_tables import route, table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, backend, running


def bus_settings(servers: EmbeddedServers) -> dict[str, str]:
    user, password = servers.nats_user("appproxy")
    return {"id": "proxy-1", "nats_url": servers.nats_url, "nats_user": user, "nats_password": password}


@pytest.fixture
async def world(servers: EmbeddedServers, bus: Bus, tmp_path: Path) -> AsyncIterator[AppProxyWorld]:
    """An app-proxy with the real appproxy user's permissions."""
    async with running(tmp_path / "data", advertise_url="http://proxy.test", **bus_settings(servers)) as one:
        await eventually(lambda: one.proxy.bus.connected)
        yield one


async def test_scale_1_3_1_under_load_loses_no_request(world: AppProxyWorld, bus: Bus) -> None:
    """The manager's order: a new replica is routed once healthy; an old one drains, is let go of, and only then stops."""

    async def work(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.005)
        return web.Response(text="ok")

    async with AsyncExitStack() as stack:
        replicas = {1: await stack.enter_async_context(backend(work))}
        generation = 0
        first = table("chat")

        async def publish(states: dict[int, str]) -> None:
            nonlocal generation
            generation += 1
            routes = tuple(route(n, port=replicas[n].port, state=s) for n, s in states.items())
            await publish_last(
                bus, first.model_copy(update={"generation": generation, "routes": routes, "wanted": len(routes)})
            )
            await eventually(lambda: world.proxy.tables.generations().get(first.service_id) == generation)

        await publish({1: "active"})
        outcomes: dict[str, int] = {}
        stop = asyncio.Event()

        async def caller() -> None:
            async with httpx.AsyncClient(verify=False, timeout=60) as http:
                while not stop.is_set():
                    try:
                        answer = await http.post(f"{world.url}/chat/", content=b"x")
                        outcome = str(answer.status_code)
                    except httpx.HTTPError as error:
                        outcome = repr(error)
                    outcomes[outcome] = outcomes.get(outcome, 0) + 1

        callers = [asyncio.create_task(caller()) for _ in range(16)]
        for _ in range(3):
            later = AsyncExitStack()
            for n in (2, 3):
                replicas[n] = await later.enter_async_context(backend(work))
            await publish({1: "active", 2: "active", 3: "active"})
            await eventually(lambda: all(len(replicas[n].seen) > 60 for n in (2, 3)))
            await publish({1: "active", 2: "draining", 3: "draining"})
            loads = [r.session_id for t in world.proxy.tables for r in t.routes if r.state == "draining"]
            await eventually(lambda ids=tuple(loads): all(world.in_flight(s) == 0 for s in ids))
            await later.aclose()
            await publish({1: "active"})
        stop.set()
        await asyncio.gather(*callers)
        assert list(outcomes) == ["200"], outcomes
        assert world.open_requests == 0
