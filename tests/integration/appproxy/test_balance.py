"""From the route table to the split that is seen: weights, load, sessions, prompts, and fresh replicas."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.messages.routes import Balance, RouteTable
from tests.support.factories.route_tables import table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld
from tests.support.worlds.appproxy_replicas import Fleet, fleet, serving

IN_TURN = Balance(policy="round-robin")


def newer(old: RouteTable, **more: Any) -> RouteTable:
    """Return the next table of the same service."""
    return old.model_copy(update={"generation": old.generation + 1, **more})


async def ask(world: AppProxyWorld, number: int = 1, **more: Any) -> list[int]:
    """Send requests one after the other and return which replicas answered."""
    return [int((await world.http.post(f"{world.url}/chat/v1/x", **more)).text) for _ in range(number)]


async def test_round_robin_reaches_the_weights_exactly_also_across_tables(world: AppProxyWorld) -> None:
    async with fleet(4) as some:
        first = table("chat", balance=IN_TURN, routes=some.routes(3, 1, 1, 0))
        world.apply(first)
        await ask(world, 123)
        world.apply(newer(first, models=("another-name",)))
        await ask(world, 377)
        assert some.served == {1: 300, 2: 100, 3: 100, 4: 0}


async def test_a_changed_weight_counts_from_the_next_round_on(world: AppProxyWorld) -> None:
    async with fleet(2) as some:
        first = table("chat", balance=IN_TURN, routes=some.routes(1, 1))
        world.apply(first)
        assert Counter(await ask(world, 40)) == {1: 20, 2: 20}
        world.apply(newer(first, routes=some.routes(1, 4)))
        assert Counter(await ask(world, 100)) == {1: 20, 2: 80}
        world.apply(newer(newer(first), routes=some.routes(0, 4)))
        assert Counter(await ask(world, 20)) == {2: 20}


async def held(world: AppProxyWorld, number: int, **more: Any) -> list[asyncio.Task[httpx.Response]]:
    """Send requests that the replicas hold, one after the other; return once each is at a replica."""
    tasks = []
    for _ in range(number):
        before = world.open_requests
        tasks.append(asyncio.create_task(world.http.post(f"{world.url}/chat/v1/x", **more)))
        await eventually(lambda n=before: world.open_requests > n, every_s=0.001)
    return tasks


def loads(world: AppProxyWorld, some: Fleet) -> list[int]:
    return [world.in_flight(SessionId(some.route(n).session_id)) for n in some.replicas]


async def answered(some: Fleet, *tasks: asyncio.Task[httpx.Response]) -> None:
    some.gate.set()
    assert {answer.status_code for answer in await asyncio.gather(*tasks)} == {200}


async def test_a_stuck_replica_gets_hardly_anything(world: AppProxyWorld) -> None:
    async with fleet(1, held=True) as stuck, fleet(2) as quick:
        slow = stuck.route(1)
        world.apply(table("chat", routes=(slow, quick.route(2))))
        done = 0

        async def caller() -> None:
            nonlocal done
            while done < 400:
                await ask(world)
                done += 1

        callers = [asyncio.create_task(caller()) for _ in range(8)]
        await eventually(lambda: done >= 400)
        # Of eight that are open at once it may have half: a further one goes where fewer are.
        assert stuck.served[1] <= 4
        stuck.gate.set()
        await asyncio.gather(*callers)


async def test_a_new_table_forgets_no_load(world: AppProxyWorld) -> None:
    async with fleet(2, held=True) as some:
        first = table("chat", routes=(some.route(1),))
        world.apply(first)
        tasks = await held(world, 5)
        second = newer(first, routes=some.routes())
        for _ in range(5):
            world.apply(second)
            assert loads(world, some)[0] == 5
            tasks += await held(world, 1)
            second = newer(second)
        assert loads(world, some) == [5, 5], "the five that came later all went to the empty one"
        await answered(some, *tasks)
        await eventually(lambda: loads(world, some) == [0, 0])


def session(key: str, name: str) -> dict[str, Any]:
    """Return a request of one session."""
    match key:
        case "header:x-session-id":
            return {"headers": {"X-Session-Id": name}}
        case "cookie:chat":
            return {"headers": {"Cookie": f"other=1; chat={name}; more=2"}}
    return {"json": {"model": "chat", "user": name, "messages": [{"role": "user", "content": "x" * 300}]}}


@pytest.mark.parametrize("key", ["header:x-session-id", "cookie:chat", "body:user"])
async def test_a_session_stays_where_it_is(world: AppProxyWorld, key: str) -> None:
    async with fleet(4) as some:
        first = table("chat", balance=Balance(policy="session", session_key=key), routes=some.routes())
        world.apply(first)
        names = [f"session-{n}" for n in range(60)]

        async def homes() -> dict[str, int]:
            return {name: (await ask(world, **session(key, name)))[0] for name in names}

        before = await homes()
        assert await homes() == before
        assert set(before.values()) == {1, 2, 3, 4}
        assert max(Counter(before.values()).values()) < 30
        world.apply(newer(first, routes=some.routes()[:3]))
        after = await homes()
        assert {name for name in names if after[name] != before[name]} == {n for n, home in before.items() if home == 4}
        world.apply(newer(newer(first)))
        assert await homes() == before, "who comes back gets its own again"


async def test_who_has_no_session_goes_where_there_is_room(world: AppProxyWorld) -> None:
    async with fleet(2, held=True) as some:
        world.apply(table("chat", balance=Balance(policy="session"), routes=some.routes()))
        tasks = await held(world, 8)
        assert loads(world, some) == [4, 4]
        await answered(some, *tasks)


def chat(system: str, tail: str) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": tail}]
    return {"json": {"model": "chat", "messages": messages}}


async def test_prompts_that_begin_alike_meet_until_their_replica_is_full(world: AppProxyWorld) -> None:
    policy = Balance(policy="prefix", prefix_bytes=128, load_factor=1.25)
    async with fleet(3, held=True) as some:
        some.gate.set()
        world.apply(table("chat", balance=policy, routes=some.routes()))
        homes = {}
        for number in range(30):
            system = f"You are assistant {number}. " * 20
            met = {(await ask(world, **chat(system, f"question {n}")))[0] for n in range(4)}
            assert len(met) == 1, "one beginning, one replica"
            homes[number] = met.pop()
        assert set(homes.values()) == {1, 2, 3}
        some.gate.clear()
        tasks = await held(world, 30, **chat("You are assistant 7. " * 20, "again"))
        home = loads(world, some)[homes[7] - 1]
        assert home == max(loads(world, some))
        assert 10 < home <= 13, "at most a quarter above the mean of ten, rounded up"
        await answered(some, *tasks)
        assert await ask(world, **chat("You are assistant 7. " * 20, "and again")) == [homes[7]]


async def test_a_fresh_replica_starts_slowly(world: AppProxyWorld) -> None:
    slow = Balance(policy="round-robin", slow_start_s=1000)
    world.stop_time()
    async with fleet(2) as some:
        first = table("chat", balance=slow, routes=(some.route(1),))
        world.apply(first)
        world.apply(newer(first, routes=some.routes()))
        assert Counter(await ask(world, 110)) == {1: 100, 2: 10}, "a tenth of its weight"
        world.clock.advance(500)
        fresh = serving(world).replicas[some.route(2).session_id]
        await eventually(lambda: fresh.share == pytest.approx(0.55))
        world.apply(newer(newer(first), routes=some.routes()))
        assert Counter(await ask(world, 155)) == {1: 100, 2: 55}, "and a new table does not set it back"
        world.clock.advance(501)
        await eventually(lambda: fresh.share == 1)
        assert Counter(await ask(world, 40)) == {1: 20, 2: 20}
