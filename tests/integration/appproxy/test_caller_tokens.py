"""Tokens a minute and a day at the door of one app-proxy: reserved when a request comes in, settled when it has ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from headrace.appproxy.dataplane.ratelimit.policy import DAY_S
from headrace.common.contracts.messages.routes import Limits, RateLimits
from tests.support.factories.route_tables import route, table
from tests.support.fakes.clock import StoppableClock
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, backend
from tests.support.worlds.appproxy_callers import Engine, call, left, robots, says


@pytest.mark.parametrize("stream", [False, True])
async def test_tokens_are_reserved_and_settled_by_usage(
    world: AppProxyWorld, clock: StoppableClock, *, stream: bool
) -> None:
    engine = Engine()
    async with backend(engine) as replica:
        world.apply(robots(replica, RateLimits(tokens_per_minute=6000)))
        usage = {"prompt_tokens": 30, "completion_tokens": 12, "total_tokens": 42}
        asked: Any = {"usage": usage, "stream": stream, "hold": True, "max_tokens": 1000}
        first = asyncio.create_task(call(world, **asked))
        await eventually(lambda: engine.held == 1)
        reserved = int(replica.seen[0].headers["Content-Length"]) // 4 + 1000
        assert await left(world) == 6000 - reserved
        engine.release.set()
        answer = await first
        assert answer.headers["x-ratelimit-remaining-tokens"] == str(6000 - reserved)
        assert answer.headers["x-ratelimit-limit-tokens"] == "6000"
        await eventually(lambda: world.open_requests == 0)
        assert await left(world) == 6000 - 42
        more = await call(world, **(asked | {"usage": {"prompt_tokens": 9000, "completion_tokens": 0}}))
        assert more.status_code == 200
        assert says(await call(world))["reason"] == "token-rate", "more than it had: it is in debt"
        clock.advance(60 * (42 + 9000 - 6000) / 6000)
        assert await left(world) == 0
        clock.advance(60)
        assert await left(world) == 6000


@pytest.mark.usefixtures("clock")
@pytest.mark.parametrize(
    ("asked", "status", "cost"),
    [
        ({}, 200, None),
        ({"status": 400}, 400, 0),
        ({"status": 500, "usage": {"prompt_tokens": 5}}, 500, 5),
        ({"crash": True}, 502, 0),
        ({"usage": {"total_tokens": 77}}, 200, 77),
        ({"usage": {"prompt_tokens": 3, "completion_tokens": -1}}, 200, 3),
    ],
)
async def test_what_a_request_costs(world: AppProxyWorld, asked: dict[str, Any], status: int, cost: int | None) -> None:
    async with backend(Engine()) as replica:
        world.apply(robots(replica, RateLimits(tokens_per_day=10_000)))
        assert (await call(world, max_tokens=100, **asked)).status_code == status
        estimate = int(replica.seen[0].headers["Content-Length"]) // 4 + 100
        await eventually(lambda: world.open_requests == 0)
        assert await left(world) == 10_000 - (estimate if cost is None else cost)


@pytest.mark.usefixtures("clock")
async def test_what_never_ran_costs_nothing_and_what_was_given_up_does(world: AppProxyWorld) -> None:
    engine = Engine()
    async with backend(engine) as replica:
        mine = robots(replica, RateLimits(tokens_per_day=10_000), limits=Limits(max_in_flight_per_replica=1))
        world.apply(mine)
        running = asyncio.create_task(call(world, max_tokens=1000, hold=True))
        await eventually(lambda: engine.held == 1)
        estimate = int(replica.seen[0].headers["Content-Length"]) // 4 + 1000
        waiting = asyncio.create_task(call(world, max_tokens=2000))
        await eventually(lambda: world.open_requests == 2)
        waiting.cancel()
        await eventually(lambda: world.open_requests == 1)
        running.cancel()
        await eventually(lambda: world.open_requests == 0)
        assert await left(world) == 10_000 - estimate
        nobody = mine.model_copy(
            update={"generation": 2, "limits": Limits(max_queued=0), "routes": (route(2, port=1),)}
        )
        world.apply(nobody)
        assert (await call(world, max_tokens=3000)).status_code == 502
        world.apply(mine.model_copy(update={"generation": 3}))
        assert await left(world) == 10_000 - estimate


async def test_the_budget_of_a_day_ends_at_midnight(world: AppProxyWorld, clock: StoppableClock) -> None:
    async with backend(Engine()) as replica:
        world.apply(robots(replica, RateLimits(tokens_per_day=1000)))
        assert (await call(world, max_tokens=9, usage={"prompt_tokens": 600, "completion_tokens": 399})).is_success
        over = says(await call(world, max_tokens=2))
        assert over["reason"] == "token-budget"
        assert (over["retry-after"], over["retry-after-ms"], over["reset-tokens"]) == ("43200", "43200000", "12h0m0s")
        assert (over["limit-tokens"], over["remaining-tokens"]) == ("1000", "1")
        clock.advance(DAY_S / 2 - 0.001)
        assert (await call(world, max_tokens=2)).status_code == 429
        clock.advance(0.002)
        assert (await call(world, max_tokens=2)).status_code == 200


@pytest.mark.parametrize(
    ("limits", "waits"), [(RateLimits(requests_per_second=9), False), (RateLimits(tokens_per_day=9), True)]
)
async def test_the_body_is_waited_for_only_where_its_tokens_count(
    world: AppProxyWorld, limits: RateLimits, *, waits: bool
) -> None:
    async with backend(Engine()) as replica:
        one = route(port=replica.port)
        world.apply(table("chat", caller_limits=limits, routes=(one,)))
        reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
        writer.write(b'POST /chat/ HTTP/1.1\r\nHost: x\r\nContent-Length: 16\r\n\r\n{"max_tok')
        await eventually(lambda: world.open_requests == 1)
        assert world.in_flight(one.session_id) == (not waits)
        writer.write(b'ens":2}')
        assert (await reader.readline()) == b"HTTP/1.1 200 OK\r\n"
        writer.close()
