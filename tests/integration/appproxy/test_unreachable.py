"""Requests that surely never ran, because no replica could be connected to, wait as those do that come while none serves."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from aiohttp import web

from headrace.common.contracts.messages.routes import Limits
from tests.support.factories.route_tables import route, table
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, backend
from tests.support.worlds.appproxy_replicas import fleet, passed_over, serving, waiting


def post(world: AppProxyWorld, number: int, **more: Any) -> list[asyncio.Task[httpx.Response]]:
    """Send POSTs at once, each with a body of its own."""
    url = f"{world.url}/chat/"
    return [asyncio.create_task(world.http.post(url, content=b"%d" % n, **more)) for n in range(number)]


def bodies(number: int) -> Counter[bytes]:
    return Counter(b"%d" % n for n in range(number))


async def test_when_the_only_replica_dies_what_never_ran_waits_for_the_next_one(world: AppProxyWorld) -> None:
    """Each POST runs exactly once, but for those that were on the dying one: they may have run, and are told."""
    started: list[bytes] = []

    async def work(request: web.Request) -> web.StreamResponse:
        started.append(await request.read())
        await asyncio.Event().wait()
        return web.Response()

    async with AsyncExitStack() as stack:
        doomed = AsyncExitStack()
        dying = await doomed.enter_async_context(backend(work))
        first = table("chat", routes=(route(1, port=dying.port),))
        world.apply(first)
        lost = post(world, 20)
        await eventually(lambda: len(started) == 20)
        await doomed.aclose()
        assert {(answer.status_code, answer.json()["reason"]) for answer in await asyncio.gather(*lost)} == {
            (502, "connection-lost")
        }
        late = post(world, 100)
        await eventually(lambda: waiting(world) == 100, what="the table still says that it serves")
        some = await stack.enter_async_context(fleet(1))
        world.apply(first.model_copy(update={"generation": 2, "routes": (some.route(1),)}))
        assert Counter([answer.status_code for answer in await asyncio.gather(*late)]) == {200: 100}
        assert Counter(some.replicas[1].bodies) == bodies(100)
        assert waiting(world) == world.open_requests == 0


async def test_a_replica_that_comes_back_takes_what_waits_without_a_new_table(world: AppProxyWorld) -> None:
    async with AsyncExitStack() as stack:
        port = free_port()
        world.apply(table("chat", routes=(route(port=port),)))
        world.stop_time()  # while requests wait, a connect is tried before its time
        tasks = post(world, 10)
        await eventually(lambda: waiting(world) == 10)
        assert await passed_over(world) == [1]
        back = await stack.enter_async_context(backend(port=port))
        assert {answer.status_code for answer in await asyncio.gather(*tasks)} == {200}
        assert Counter(back.bodies) == bodies(10)


async def test_the_wait_has_the_queues_bounds(world: AppProxyWorld) -> None:
    limits = Limits(queue_timeout_s=3600, max_queued=5)
    world.apply(table("chat", limits=limits, routes=(route(port=free_port()),)))
    tasks = post(world, 8)
    await eventually(lambda: sum(task.done() for task in tasks) == 3)
    refused = [task.result() for task in tasks if task.done()]
    assert {(one.status_code, one.json()["reason"]) for one in refused} == {(429, "queue-full")}
    serving(world).expire_queued(world.plane.context.now() + 3601)
    late = [answer for answer in await asyncio.gather(*tasks) if answer not in refused]
    assert {answer.status_code for answer in late} == {503}
    assert {(one.json()["reason"], one.headers["retry-after"]) for one in late} == {("unreachable", "5")}
    page = await world.metrics()
    assert 'headrace_proxy_refused_total{reason="unreachable",service="chat"} 5.0' in page
    assert world.open_requests == 0


async def test_a_request_has_one_wait_however_often_a_replica_is_lost_before_it(world: AppProxyWorld) -> None:
    first = table("chat", limits=Limits(queue_timeout_s=3600), routes=(route(1, port=free_port()),))
    world.apply(first)
    (task,) = post(world, 1)
    await eventually(lambda: waiting(world) == 1)
    began_s = world.plane.context.now()
    for number in range(2, 5):  # it goes on, and finds nobody again
        moved = (route(number, port=free_port()),)
        world.apply(first.model_copy(update={"generation": number, "routes": moved}))
        await eventually(lambda: waiting(world) == 1 and serving(world)._outliers.unreachable())
    serving(world).expire_queued(began_s + 3600)
    assert (await task).json()["reason"] == "unreachable"


async def test_an_upload_that_nobody_took_yet_waits_and_arrives_whole(world: AppProxyWorld) -> None:
    first = table("chat", routes=(route(1, port=free_port()),))
    world.apply(first)
    go = asyncio.Event()

    async def slowly() -> Any:
        yield b"a" * 1000
        await go.wait()
        yield b"b" * 1000

    task = asyncio.create_task(world.http.post(f"{world.url}/chat/", content=slowly()))
    await eventually(lambda: waiting(world) == 1)
    async with fleet(1) as some:
        world.apply(first.model_copy(update={"generation": 2, "routes": some.routes()}))
        await eventually(lambda: world.in_flight(route(1).session_id) == 1)
        go.set()
        assert (await task).status_code == 200
        assert some.replicas[1].bodies == [b"a" * 1000 + b"b" * 1000]


async def test_a_living_replica_gets_what_three_dead_ones_refused(world: AppProxyWorld) -> None:
    """Retries are bounded; a request that never ran goes on waiting, and so comes to whoever is left."""
    async with fleet(1) as some:
        dead = tuple(route(n, port=free_port(), weight=1000) for n in range(2, 7))
        world.apply(table("chat", routes=(some.route(1, weight=1), *dead)))
        assert {answer.status_code for answer in await asyncio.gather(*post(world, 50))} == {200}
        assert Counter(some.replicas[1].bodies) == bodies(50)


@pytest.mark.parametrize("more", [{"stopped": True, "wanted": 0}, {"gave_up": True, "wanted": 1}])
async def test_who_waits_in_vain_is_told_as_soon_as_the_table_says_so(
    world: AppProxyWorld, more: dict[str, Any]
) -> None:
    first = table("chat", routes=(route(port=free_port()),))
    world.apply(first)
    tasks = post(world, 3)
    await eventually(lambda: waiting(world) == 3)
    world.apply(first.model_copy(update={"generation": 2, "routes": (), **more}))
    assert {answer.status_code for answer in await asyncio.gather(*tasks)} == {503}
