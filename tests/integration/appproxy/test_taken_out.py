"""A replica that was taken out before it answered: what may run twice goes to another one, and nothing else does."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
import pytest

from headrace.common.contracts.messages.routes import Limits, Route, RouteTable
from tests.integration.appproxy.test_failures import hang
from tests.support.factories.route_tables import route, table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, RawBackend, raw_backend
from tests.support.worlds.appproxy_replicas import Fleet, fleet, serving

Change = Callable[[Route], tuple[Route, ...]]


def unhealthy(one: Route) -> tuple[Route, ...]:
    return (one.model_copy(update={"health": "unhealthy"}),)


def sweep(world: AppProxyWorld) -> None:
    """Do what the sweep does about replicas."""
    serving(world).sweep(world.plane.context.now(), 4.0)


def gone(_: Route) -> tuple[Route, ...]:
    return ()


def drained(one: Route) -> tuple[Route, ...]:
    """Its deadline is over at once."""
    return (one.model_copy(update={"state": "draining", "drain_until": datetime.now(UTC)}),)


@dataclass
class Hung:
    """A replica that answers nothing, with requests on it, beside one that is idle and well."""

    world: AppProxyWorld
    replica: RawBackend
    other: Fleet
    table: RouteTable
    asked: list[asyncio.Task[httpx.Response]] = field(default_factory=list)

    async def ask(self, method: str, number: int) -> list[asyncio.Task[httpx.Response]]:
        """Send so many requests, and return once the replica has them."""
        before = self.replica.connections
        url = f"{self.world.url}/chat/"
        tasks = [asyncio.create_task(self.world.http.request(method, url)) for _ in range(number)]
        self.asked += tasks
        await eventually(lambda: len(self.replica.heads) == before + number)
        return tasks

    def update(self, *routes: Route, generation: int = 2) -> None:
        self.world.apply(self.table.model_copy(update={"generation": generation, "routes": routes}))


@pytest.fixture
async def hung(world: AppProxyWorld) -> AsyncIterator[Hung]:
    async with _hung(world) as one:
        yield one


@asynccontextmanager
async def _hung(world: AppProxyWorld) -> AsyncIterator[Hung]:
    async with raw_backend(hang) as replica, fleet(2) as other:
        made = Hung(world, replica, other, table("chat", routes=(route(1, port=replica.port),)))
        world.apply(made.table)
        try:
            yield made
        finally:
            for task in made.asked:
                task.cancel()
            await asyncio.gather(*made.asked, return_exceptions=True)


@pytest.mark.parametrize("change", [unhealthy, gone, drained])
async def test_safe_requests_leave_a_replica_that_was_taken_out_and_others_stay(hung: Hung, change: Change) -> None:
    gets = await hung.ask("GET", 10)
    posts = await hung.ask("POST", 5)
    hung.update(*change(hung.table.routes[0]), hung.other.route(2))
    answers = await asyncio.gather(*gets)
    assert Counter((answer.status_code, answer.text) for answer in answers) == {(200, "2"): 10}
    assert Counter(request.method for request in hung.other.replicas[2].seen) == {"GET": 10}
    assert Counter(head.split()[0] for head in hung.replica.heads) == {b"GET": 10, b"POST": 5}
    if change is drained:
        assert {answer.json()["reason"] for answer in await asyncio.gather(*posts)} == {"replica-stopped"}
    else:
        assert not any(post.done() for post in posts), "it may have run: it goes on where it is"
    page = await hung.world.metrics()
    assert 'headrace_proxy_retries_total{reason="replica-taken-out",service="chat"} 10.0' in page


async def test_they_stay_while_nobody_else_serves_and_leave_once_somebody_does(hung: Hung) -> None:
    gets = await hung.ask("GET", 3)
    hung.update(*unhealthy(hung.table.routes[0]))
    sweep(hung.world)
    assert hung.world.in_flight(route(1).session_id) == 3
    hung.update(*unhealthy(hung.table.routes[0]), hung.other.route(2), generation=3)
    assert {answer.text for answer in await asyncio.gather(*gets)} == {"2"}


async def test_safe_requests_leave_a_replica_that_is_passed_over(world: AppProxyWorld) -> None:
    async with raw_backend(hang) as replica, fleet(2) as some:
        first = table("chat", routes=(route(1, port=replica.port),))
        world.apply(first)
        get = asyncio.create_task(world.http.get(f"{world.url}/chat/"))
        await eventually(lambda: replica.connections == 1)
        limits = Limits(first_byte_timeout_s=1)
        both = (route(1, port=replica.port, weight=1000), some.route(2, weight=1))
        world.apply(first.model_copy(update={"generation": 2, "limits": limits, "routes": both}))
        statuses = Counter[int]()
        while not serving(world).ejected():
            statuses[(await world.http.post(f"{world.url}/chat/")).status_code] += 1
        assert statuses[504] == 2, "two in a row without an answer"
        assert (await get).text == "2"


async def test_moving_has_the_retries_budget(hung: Hung) -> None:
    await hung.ask("GET", 60)
    budget = 30 + 60 // 5
    hung.update(*unhealthy(hung.table.routes[0]), hung.other.route(2))
    await eventually(lambda: hung.other.served[2] == budget)
    sweep(hung.world)
    sweep(hung.world)
    assert hung.other.served[2] == budget
    assert hung.world.in_flight(route(1).session_id) == 60 - budget
