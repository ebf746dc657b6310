"""Replicas that fail requests are passed over and come back; and sending again costs callers nothing and replicas little."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import httpx
import pytest
from aiohttp import web

from headrace.common.contracts.messages.routes import Balance, Limits, Route
from tests.support.factories.route_tables import route, table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, Backend, backend, raw_backend, raw_request, reset
from tests.support.worlds.appproxy_replicas import fleet, passed_over, serving

IN_TURN = Balance(policy="round-robin")
Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter


async def post(world: AppProxyWorld, **more: Any) -> httpx.Response:
    return await world.http.post(f"{world.url}/chat/", content=b"x", **more)


def split(world: AppProxyWorld, *routes: Route, **more: Any) -> None:
    """Serve `chat` by these in turn."""
    world.apply(table("chat", balance=IN_TURN, routes=routes, **more))


async def lose(_reader: Reader, writer: Writer, _n: int) -> None:
    reset(writer)


async def hang(reader: Reader, _writer: Writer, _n: int) -> None:
    await reader.read()


@pytest.mark.parametrize(
    ("kind", "status", "times"), [("connection-lost", 502, 2), ("first-byte-timeout", 504, 2), ("unavailable", 503, 3)]
)
async def test_what_takes_a_replica_out_and_how_often_in_a_row(
    world: AppProxyWorld, kind: str, status: int, times: int
) -> None:
    async def hang_for_long(reader: Reader, writer: Writer, n: int) -> None:
        world.clock.advance(0.3)
        await hang(reader, writer, n)

    async with raw_backend(lose) as resets, raw_backend(hang_for_long) as hangs, fleet(3) as some:
        some.status[2] = 503
        bad = {"connection-lost": resets.port, "first-byte-timeout": hangs.port}.get(kind, some.replicas[2].port)
        limits = Limits(first_byte_timeout_s=0.2)
        split(world, some.route(1), route(2, port=bad), some.route(3), limits=limits)
        world.stop_time()
        seen = [(await post(world)).status_code for _ in range(3 * times)]
        assert sorted(seen) == [200] * (2 * times) + [status] * times, "a POST that may have run is not sent again"
        assert await passed_over(world) == [2]
        assert {(await post(world)).status_code for _ in range(20)} == {200}
        assert 'headrace_proxy_ejections_total{service="chat"} 1.0' in await world.metrics()
        world.clock.advance(0.9)
        assert await passed_over(world) == [2], "its second is not over"


async def test_a_row_is_broken_by_any_answer(world: AppProxyWorld) -> None:
    async with fleet(2) as some:
        split(world, *some.routes())
        for n in range(12):
            some.status[2] = 503 if n % 3 else 404
            await post(world)
            await post(world)
        assert await passed_over(world) == []


@pytest.mark.parametrize("status", [400, 401, 404, 408, 413, 422, 429, 499, 500, 504])
async def test_what_callers_do_wrong_takes_nobody_out(world: AppProxyWorld, status: int) -> None:
    """Callers' 400s took a fleet down (sglang 25811)."""
    async with fleet(2) as some:
        some.status[2] = status
        split(world, *some.routes())
        for _ in range(40):
            await post(world)
        assert some.served == {1: 20, 2: 20}
        assert await passed_over(world) == []


async def test_callers_who_leave_take_nobody_out(world: AppProxyWorld) -> None:
    async with fleet(2, held=True) as some:
        split(world, *some.routes())
        for n in range(1, 9):
            leaving = asyncio.create_task(post(world))
            await eventually(lambda n=n: sum(some.served.values()) == n, every_s=0.001)
            leaving.cancel()
            await asyncio.gather(leaving, return_exceptions=True)
        await eventually(lambda: world.open_requests == 0)
        assert some.served == {1: 4, 2: 4}
        assert await passed_over(world) == []


async def test_who_could_not_be_reached_comes_back_by_a_connect_and_waits_longer_each_time(
    world: AppProxyWorld,
) -> None:
    async with AsyncExitStack() as stack:
        some = await stack.enter_async_context(fleet(2))
        async with backend() as gone:
            port = gone.port
        split(world, *some.routes(), route(3, port=port))
        world.stop_time()
        assert {(await post(world)).status_code for _ in range(6)} == {200}, "nothing was sent: safe for a POST too"
        assert await passed_over(world) == [3]
        probed = serving(world)._outliers.suspects[str(route(3).session_id)]
        for waits_s in (1.0, 2.0, 4.0):
            assert probed.ejected_for_s == waits_s
            world.clock.advance(waits_s)
            await eventually(lambda w=waits_s: probed.ejected_for_s == 2 * w, what="a probe that failed")
        back: Backend = await stack.enter_async_context(backend(port=port))
        world.clock.advance(7.9)
        assert {(await post(world)).status_code for _ in range(6)} == {200}
        assert (back.seen, await passed_over(world)) == ([], [3])
        world.clock.advance(0.2)
        await eventually(lambda: serving(world).ejected() == frozenset())
        assert {(await post(world)).status_code for _ in range(9)} == {200}
        assert len(back.seen) == 3


async def test_who_said_503_comes_back_with_one_request_at_a_time(world: AppProxyWorld) -> None:
    async with fleet(2) as some:
        some.status[2] = 503
        split(world, *some.routes())
        world.stop_time()
        assert Counter([(await post(world)).status_code for _ in range(6)]) == {200: 3, 503: 3}
        world.clock.advance(1.1)
        await eventually(lambda: serving(world).ejected() == frozenset())
        assert sorted([(await post(world)).status_code for _ in range(8)]) == [200] * 7 + [503], "one is enough now"
        world.clock.advance(1.1)
        assert await passed_over(world) == [2], "two seconds this time"
        world.clock.advance(1.1)
        await eventually(lambda: serving(world).ejected() == frozenset())
        some.status[2] = 200
        some.gate.clear()
        before = some.served[2]
        many = [asyncio.create_task(post(world)) for _ in range(10)]
        await eventually(lambda: sum(some.served.values()) == 14 + 10)
        assert some.served[2] == before + 1
        some.gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*many)} == {200}
        again = Counter([(await post(world)).text for _ in range(20)])
        assert again["2"] >= 9, "it has its part again"


async def test_the_last_replica_is_asked_whatever_it_says(world: AppProxyWorld) -> None:
    async with fleet(1) as some:
        some.status[1] = 503
        split(world, some.route(1))
        answers = [await post(world) for _ in range(10)]
        assert [(answer.status_code, answer.text) for answer in answers] == [(503, "1")] * 10, "its own words"
        some.status[1] = 200
        assert (await post(world)).status_code == 200


async def test_when_most_are_out_all_are_asked(world: AppProxyWorld) -> None:
    async with fleet(3) as some:
        some.status |= {1: 503, 2: 503}
        split(world, *some.routes())
        world.stop_time()
        for _ in range(9):
            await post(world)
        assert await passed_over(world) == [1, 2]
        before = some.served
        for _ in range(30):
            await post(world)
        assert {n: number - before[n] for n, number in some.served.items()} == {1: 10, 2: 10, 3: 10}
        assert {(await world.http.get(f"{world.url}/chat/")).status_code for _ in range(20)} == {200}


async def test_a_killed_replica_costs_no_get_an_error(world: AppProxyWorld) -> None:
    async def work(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.01)
        return web.Response(text="ok")

    async with AsyncExitStack() as stack:
        doomed = AsyncExitStack()
        ones = [await (doomed if n == 3 else stack).enter_async_context(backend(work)) for n in (1, 2, 3)]
        world.apply(table("chat", routes=tuple(route(n, port=one.port) for n, one in enumerate(ones, 1))))
        seen: Counter[int] = Counter()
        stop = asyncio.Event()

        async def caller() -> None:
            async with httpx.AsyncClient(verify=False, timeout=60) as http:
                while not stop.is_set():
                    seen[(await http.get(f"{world.url}/chat/")).status_code] += 1

        callers = [asyncio.create_task(caller()) for _ in range(16)]
        await eventually(lambda: len(ones[2].seen) > 50)
        await doomed.aclose()
        after = seen[200]
        await eventually(lambda: seen[200] > after + 300)
        stop.set()
        await asyncio.gather(*callers)
        assert list(seen) == [200], seen


async def test_a_post_of_which_a_part_was_sent_is_not_sent_again(world: AppProxyWorld) -> None:
    async def dies(reader: Reader, writer: Writer, _n: int) -> None:
        await reader.readexactly(10)
        reset(writer)

    async with raw_backend(dies) as bad, backend() as good:
        split(world, route(1, port=bad.port), route(2, port=good.port))
        head = b"POST /chat/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
        got = await raw_request(world.port, head + b"x" * 10, until=b"\r\n\r\n")
        assert got.startswith(b"HTTP/1.1 502 ")
        assert (bad.connections, good.seen) == (1, [])


async def test_retries_never_multiply_the_load(world: AppProxyWorld) -> None:
    """A fifth of the requests and thirty in any case: Serving's budget."""
    async with raw_backend(lose) as bad:
        world.apply(table("chat", routes=tuple(route(n, port=bad.port) for n in range(1, 4))))
        world.stop_time()
        statuses = Counter([(await world.http.get(f"{world.url}/chat/")).status_code for _ in range(200)])
        assert statuses == {502: 200}
        assert 200 < bad.connections <= 200 + 30 + 40


async def test_an_upload_goes_to_the_living_as_long_as_nothing_was_sent(world: AppProxyWorld) -> None:
    """Its connect is refused while the body is still on its way: the next replica gets all of it."""
    async with backend() as gone:
        port = gone.port
    async with fleet(2) as some:
        split(world, route(1, port=port), some.route(2))

        async def slowly(number: int) -> AsyncIterator[bytes]:
            yield b"x" * 100
            await eventually(lambda: len(some.replicas[2].seen) == number)
            yield b"x" * 400

        for number in (1, 2):
            assert (await world.http.post(f"{world.url}/chat/", content=slowly(number))).status_code == 200
        assert some.replicas[2].bodies == [b"x" * 500] * 2
