"""App-proxy with replicas that identify themselves, delay answers or fail on purpose; and the proxy's view of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from aiohttp import web

from headrace.appproxy.dataplane.balancing.backend import Backend as ServiceBackend
from headrace.common.contracts.messages.routes import Route
from tests.support.factories.route_tables import route
from tests.support.worlds.appproxy import AppProxyWorld, Backend, backend


@dataclass
class Fleet:
    """Replicas 1 to n. Each answers `status` with its number; while the gate is closed, answers wait."""

    replicas: dict[int, Backend] = field(default_factory=dict)
    status: dict[int, int] = field(default_factory=dict)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    most_at_once: dict[int, int] = field(default_factory=dict)
    _now: dict[int, int] = field(default_factory=dict)

    def route(self, number: int, **more: Any) -> Route:
        """Return a replica's route."""
        return route(number, port=self.replicas[number].port, **more)

    def routes(self, *weights: int) -> tuple[Route, ...]:
        """Return the routes of replicas 1 to n, by default with weight 100."""
        given = dict(enumerate(weights, 1)) or dict.fromkeys(self.replicas, 100)
        return tuple(self.route(number, weight=weight) for number, weight in given.items())

    @property
    def served(self) -> dict[int, int]:
        """Return the number of requests per replica."""
        return {number: len(replica.seen) for number, replica in self.replicas.items()}

    async def answer(self, number: int, request: web.Request) -> web.StreamResponse:
        """Serve one request."""
        self._now[number] = self._now.get(number, 0) + 1
        self.most_at_once[number] = max(self.most_at_once.get(number, 0), self._now[number])
        try:
            self.replicas[number].bodies.append(await request.read())
            await self.gate.wait()
            return web.Response(text=str(number), status=self.status.get(number, 200))
        finally:
            self._now[number] -= 1


@asynccontextmanager
async def fleet(number: int, *, held: bool = False) -> AsyncIterator[Fleet]:
    """Run replicas 1 to `number`; `held`: the gate is closed at first."""
    made = Fleet()
    if not held:
        made.gate.set()
    async with AsyncExitStack() as stack:
        for n in range(1, number + 1):
            made.replicas[n] = await stack.enter_async_context(backend(partial(made.answer, n)))
        yield made
        made.gate.set()


def serving(world: AppProxyWorld, name: str = "chat") -> ServiceBackend:
    """Return the Backend of a service."""
    found = world.plane.backends.by_name(name)
    assert found is not None
    return found


async def passed_over(world: AppProxyWorld, name: str = "chat") -> list[int]:
    """Return the replicas that the admin page shows as ejected."""
    services = (await world.http.get(f"{world.admin}/routes")).json()["services"]
    routes = next(one for one in services if one["name"] == name)["routes"]
    return [int(one["session_id"].replace("-", ""), 16) for one in routes if one["ejected"]]


def waiting(world: AppProxyWorld, name: str = "chat") -> int:
    """Return the number of queued requests."""
    seen = world.proxy.traffic.snapshot().queues.get(serving(world, name).table.service_id)
    return seen.requests if seen is not None else 0
