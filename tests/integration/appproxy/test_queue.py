"""Requests that wait: within bounds, fairly, no longer than their deadline, and for a first replica too."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web

from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import subscribed
from headrace.common.contracts.ids import TokenId, new_uuid
from headrace.common.contracts.messages.reports import Held, HeldReport, ProxyReport
from headrace.common.contracts.messages.routes import Balance, Limits, RouteTable, TokenLimits
from headrace.embedded.stack import EmbeddedServers
from tests.support.factories.route_tables import Signer, route, table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import AppProxyWorld, backend, running
from tests.support.worlds.appproxy_replicas import fleet, serving, waiting

Answer = asyncio.Task[httpx.Response]


def ask(world: AppProxyWorld, **more: Any) -> Answer:
    """Send a request."""
    return asyncio.create_task(world.http.post(f"{world.url}/chat/", content=b"x", **more))


async def queue_up(world: AppProxyWorld, number: int, **more: Any) -> list[Answer]:
    """Send requests one after the other, each waiting before the next is sent."""
    tasks = []
    for _ in range(number):
        before = waiting(world)
        tasks.append(ask(world, **more))
        await eventually(lambda n=before: waiting(world) == n + 1, every_s=0.001)
    return tasks


def reason(answer: httpx.Response) -> tuple[int, str]:
    """Return a refusal's status and reason. It is a problem and says when to come again."""
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    return answer.status_code, answer.json()["reason"]


async def test_no_replica_gets_more_at_once_than_its_limit(world: AppProxyWorld) -> None:
    async with fleet(2, held=True) as some:
        world.apply(table("chat", limits=Limits(max_in_flight_per_replica=3), routes=some.routes()))
        tasks = [ask(world) for _ in range(40)]
        await eventually(lambda: waiting(world) == 34)
        assert some.served == {1: 3, 2: 3}
        assert 'headrace_proxy_queued{service="chat"} 34.0' in await world.metrics()
        some.gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*tasks)} == {200}
        assert some.most_at_once == {1: 3, 2: 3}
        assert 'headrace_proxy_queue_seconds_count{service="chat"} 34.0' in await world.metrics()


class Turns:
    """A replica that answers one request at a time, each when told; remembers whose they were."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self._go = asyncio.Semaphore(0)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.order.append(request.headers["X-Who"])
        await self._go.acquire()
        return web.Response()

    async def next(self, number: int = 1) -> None:
        """Let `number` requests end, one after the other."""
        for _ in range(number):
            came = len(self.order)
            self._go.release()
            await eventually(lambda n=came: len(self.order) > n, every_s=0.001)


@pytest.fixture
async def turns() -> AsyncIterator[tuple[Turns, int]]:
    """A replica and its port."""
    made = Turns()
    async with backend(made.serve) as replica:
        yield made, replica.port


def tokens(port: int, **shares: int) -> tuple[RouteTable, dict[str, dict[str, str]]]:
    """Return a private table with one replica that takes one request at a time, and each caller's headers."""
    signer = Signer()
    ids = {name: TokenId(new_uuid()) for name in shares}
    made = table(
        "chat",
        open_to_public=False,
        token_keys=(signer.public,),
        limits=Limits(max_in_flight_per_replica=1, max_queued=50),
        token_limits=tuple(TokenLimits(token_id=ids[name], share=share) for name, share in shares.items()),
        routes=(route(port=port),),
    )
    headers = {
        name: {"Authorization": f"Bearer {signer.token(made.service_id, token_id=ids[name])}", "X-Who": name}
        for name in shares
    }
    return made, headers


async def end(turns: Turns, tasks: list[Answer]) -> None:
    for _ in tasks:
        turns._go.release()
    await asyncio.gather(*tasks)


async def test_who_waits_with_one_is_not_behind_who_waits_with_fifty(
    world: AppProxyWorld, turns: tuple[Turns, int]
) -> None:
    replica, port = turns
    made, who = tokens(port, greedy=1, modest=1)
    world.apply(made)
    tasks = [ask(world, headers=who["greedy"])]
    await eventually(lambda: replica.order == ["greedy"])
    tasks += await queue_up(world, 49, headers=who["greedy"])
    tasks += await queue_up(world, 1, headers=who["modest"])
    await replica.next(2)
    assert "modest" in replica.order[1:3], "with equal shares its turn is the next or the one after"
    await end(replica, tasks)


async def test_turns_go_by_share(world: AppProxyWorld, turns: tuple[Turns, int]) -> None:
    replica, port = turns
    made, who = tokens(port, one=1, three=3)
    world.apply(made)
    tasks = [ask(world, headers=who["one"])]
    await eventually(lambda: replica.order == ["one"])
    for name in ("one", "three"):
        tasks += await queue_up(world, 24, headers=who[name])
    await replica.next(24)
    assert Counter(replica.order[1:]) == {"three": 18, "one": 6}
    await end(replica, tasks)


async def test_a_full_queue_refuses_at_once_but_makes_room_for_who_has_less(
    world: AppProxyWorld, turns: tuple[Turns, int]
) -> None:
    replica, port = turns
    made, who = tokens(port, greedy=1, modest=1)
    world.apply(made)
    tasks = [ask(world, headers=who["greedy"])]
    await eventually(lambda: replica.order == ["greedy"])
    tasks += await queue_up(world, 50, headers=who["greedy"])
    assert reason(await ask(world, headers=who["greedy"])) == (429, "queue-full")
    late = ask(world, headers=who["modest"])
    assert reason(await tasks.pop()) == (429, "queue-full"), "the newest of who has most gives way"
    assert waiting(world) == 50
    assert 'headrace_proxy_refused_total{reason="queue-full",service="chat"} 2.0' in await world.metrics()
    await replica.next(2)
    assert "modest" in replica.order
    await end(replica, [*tasks, late])
    assert (await late).status_code == 200


async def test_without_a_queue_who_finds_no_room_is_told_so(world: AppProxyWorld) -> None:
    async with fleet(1, held=True) as some:
        limits = Limits(max_in_flight_per_replica=1, max_queued=0)
        world.apply(table("chat", limits=limits, routes=some.routes()))
        first = ask(world)
        await eventually(lambda: some.served[1] == 1)
        assert reason(await ask(world)) == (429, "replicas-full")
        some.gate.set()
        assert (await first).status_code == 200


async def test_a_wait_has_an_end(world: AppProxyWorld) -> None:
    async with fleet(1, held=True) as some:
        limits = Limits(max_in_flight_per_replica=1, queue_timeout_s=3600)
        world.apply(table("chat", limits=limits, routes=some.routes()))
        first = ask(world)
        await eventually(lambda: some.served[1] == 1)
        (late,) = await queue_up(world, 1)
        now_s = world.plane.context.now()
        serving(world).expire_queued(now_s + 3500)
        assert waiting(world) == 1
        serving(world).expire_queued(now_s + 3601)
        assert reason(await late) == (429, "replicas-full")
        some.gate.set()
        assert (await first).status_code == 200


async def test_a_deadline_is_minded(world: AppProxyWorld) -> None:
    async with fleet(1, held=True) as some:
        limits = Limits(max_in_flight_per_replica=1, queue_timeout_s=0.2)
        first = table("chat", limits=limits, routes=some.routes())
        world.apply(first)
        open_one = ask(world)
        await eventually(lambda: some.served[1] == 1)
        assert reason(await ask(world)) == (429, "replicas-full")
        some.gate.set()
        assert (await open_one).status_code == 200
        world.apply(first.model_copy(update={"generation": 2, "routes": (), "wanted": 1}))
        assert reason(await ask(world)) == (503, "starting")
        assert waiting(world) == 0


async def test_who_leaves_the_queue_leaves_no_gap(world: AppProxyWorld, turns: tuple[Turns, int]) -> None:
    replica, port = turns
    made, who = tokens(port, one=1, two=1, three=1)
    world.apply(made)
    tasks = [ask(world, headers=who["one"])]
    await eventually(lambda: len(replica.order) == 1)
    (leaver,) = await queue_up(world, 1, headers=who["two"])
    tasks += await queue_up(world, 1, headers=who["three"])
    leaver.cancel()
    await eventually(lambda: waiting(world) == 1)
    assert world.open_requests == 2
    await replica.next()
    assert replica.order == ["one", "three"]
    await end(replica, tasks)
    await eventually(lambda: world.open_requests == 0)


async def test_a_dead_replicas_room_is_anothers(world: AppProxyWorld) -> None:
    """The queue moves on when the one that is served loses its replica."""
    async with fleet(1, held=True) as some, backend() as other:
        first = table("chat", limits=Limits(max_in_flight_per_replica=1), routes=some.routes())
        world.apply(first)
        stuck = ask(world)
        await eventually(lambda: some.served[1] == 1)
        tasks = await queue_up(world, 5)
        world.apply(first.model_copy(update={"generation": 2, "routes": (route(2, port=other.port),)}))
        assert {answer.status_code for answer in await asyncio.gather(*tasks)} == {200}
        assert not stuck.done(), "what was open on it goes on"
        some.gate.set()
        assert (await stuck).status_code == 200


async def test_nobody_begins_to_wait_for_a_service_that_went_while_the_body_came(world: AppProxyWorld) -> None:
    first = table("chat", wanted=1, balance=Balance(policy="prefix"), routes=(route(),))
    world.apply(first)
    reader, writer = await asyncio.open_connection("127.0.0.1", world.port)
    writer.write(b'POST /chat/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 16\r\n\r\n{"prompt":')
    await eventually(lambda: world.open_requests == 1)
    world.apply(first.model_copy(update={"generation": 2, "routes": ()}))
    world.apply(first.model_copy(update={"generation": 3, "removed": True}))
    assert world.open_requests == 1
    writer.write(b'"abc"}')
    answer = await asyncio.wait_for(reader.read(), 60)
    assert answer.startswith(b"HTTP/1.1 503")
    assert b"service-removed" in answer
    writer.close()


async def test_a_service_that_goes_lets_nobody_wait(world: AppProxyWorld) -> None:
    first = table("chat", wanted=1)
    world.apply(first)
    tasks = await queue_up(world, 3)
    world.apply(first.model_copy(update={"generation": 2, "removed": True}))
    assert {reason(answer) for answer in await asyncio.gather(*tasks)} == {(503, "service-removed")}


@pytest.mark.parametrize("zero", [{"wanted": 1}, {"wanted": 0, "scale_from_zero": True}])
async def test_requests_wait_for_a_first_replica(world: AppProxyWorld, zero: dict[str, Any]) -> None:
    async with fleet(1) as some:
        first = table("chat", **zero)
        world.apply(first)
        tasks = await queue_up(world, 5)
        loading = some.route(1, health="degraded")
        world.apply(first.model_copy(update={"generation": 2, "wanted": 1, "routes": (loading,)}))
        assert waiting(world) == 5, "it is there, and not ready"
        world.apply(first.model_copy(update={"generation": 3, "wanted": 1, "routes": some.routes()}))
        assert {answer.status_code for answer in await asyncio.gather(*tasks)} == {200}
        assert some.served == {1: 5}


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"wanted": 0}, "no-replicas"),
        ({"wanted": 0, "stopped": True}, "stopped"),
        ({"wanted": 2, "gave_up": True}, "start-failed"),
        ({"wanted": 1, "limits": Limits(max_queued=0)}, "starting"),
        ({"wanted": 1, "routes": (route(weight=0),)}, "no-weight"),
    ],
)
async def test_who_waits_in_vain_is_told_at_once(world: AppProxyWorld, more: dict[str, Any], expected: str) -> None:
    world.apply(table("chat", **more))
    assert reason(await ask(world)) == (503, expected)


async def test_stopping_a_service_ends_the_waiting(world: AppProxyWorld) -> None:
    first = table("chat", wanted=1)
    world.apply(first)
    tasks = await queue_up(world, 3)
    world.apply(first.model_copy(update={"generation": 2, "wanted": 0, "stopped": True}))
    assert {reason(answer) for answer in await asyncio.gather(*tasks)} == {(503, "stopped")}


async def test_giving_up_a_start_ends_the_waiting_and_a_retry_begins_it_again(world: AppProxyWorld) -> None:
    first = table("chat", wanted=1)
    world.apply(first)
    tasks = await queue_up(world, 3)
    world.apply(first.model_copy(update={"generation": 2, "gave_up": True}))
    answers = await asyncio.gather(*tasks)
    assert {reason(answer) for answer in answers} == {(503, "start-failed")}
    assert "no more are tried" in answers[0].json()["detail"]
    world.apply(first.model_copy(update={"generation": 3}))
    waits = await queue_up(world, 1)
    world.apply(first.model_copy(update={"generation": 4, "gave_up": True, "routes": (route(health="degraded"),)}))
    assert waiting(world) == 1, "what is left of it may yet come to serve"
    world.apply(first.model_copy(update={"generation": 5, "removed": True}))
    await asyncio.gather(*waits)


async def test_held_requests_are_told_on_the_bus(servers: EmbeddedServers, bus: Bus, tmp_path: Path) -> None:
    user, password = servers.nats_user("appproxy")
    heard: list[tuple[Held, ...]] = []
    reports = 0

    async def hear(report: HeldReport) -> None:
        assert report.proxy_id == "proxy-1"
        heard.append(report.services)

    async def count(_: ProxyReport) -> None:
        nonlocal reports
        reports += 1

    async with (
        fleet(1) as some,
        subscribed(bus, HeldReport, hear),
        subscribed(bus, ProxyReport, count),
        running(tmp_path, id="proxy-1", nats_url=servers.nats_url, nats_user=user, nats_password=password) as world,
    ):
        await eventually(lambda: world.proxy.bus.connected)
        first = table("chat", scale_from_zero=True)
        world.apply(first)
        tasks = await queue_up(world, 3)
        await eventually(lambda: heard and heard[-1] and heard[-1][0].requests == 3)
        one = heard[-1][0]
        assert one.service_id == first.service_id
        before = len(heard)
        await eventually(lambda: len(heard) > before + 1, what="each second while they wait")
        assert heard[-1][0].oldest_s > one.oldest_s
        tasks.pop().cancel()
        await eventually(lambda: heard[-1][0].requests == 2)
        world.apply(first.model_copy(update={"generation": 2, "wanted": 1, "routes": some.routes()}))
        assert {answer.status_code for answer in await asyncio.gather(*tasks)} == {200}
        await eventually(lambda: heard[-1] == (), what="once more, that none waits")
        after = len(heard)
        limited = Limits(max_in_flight_per_replica=1)
        some.gate.clear()
        world.apply(first.model_copy(update={"generation": 3, "wanted": 1, "limits": limited, "routes": some.routes()}))
        busy = [ask(world)]
        await eventually(lambda: some.served[1] == 3)
        busy += await queue_up(world, 2)
        told = reports
        await eventually(lambda: reports > told + 1)
        assert len(heard) == after, "waiting for a busy replica is not being held"
        some.gate.set()
        assert {answer.status_code for answer in await asyncio.gather(*busy)} == {200}
