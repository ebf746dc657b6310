"""Several worker processes on one port: one table each, load and limits over all of them, numbers summed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web

from headrace.common.contracts.messages.routes import Limits
from tests.support.factories.route_tables import route, table
from tests.support.ports import free_port
from tests.support.wait import eventually
from tests.support.worlds.appproxy import backend
from tests.support.worlds.appproxy_replicas import fleet
from tests.support.worlds.appproxy_workers import (
    CallerConnection,
    TwoWorkers,
    accepts,
    ask,
    from_both,
    refuses,
    two_workers,
)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[TwoWorkers]:
    async with two_workers(tmp_path / "data") as one:
        yield one


async def test_requests_are_spread_over_the_workers_and_the_numbers_summed(two: TwoWorkers) -> None:
    async with fleet(1) as replicas:
        await two.apply(table("chat", routes=replicas.routes()))
        answers = await from_both(two.port)
        assert {answer.status for answer in answers} == {200}
        unknown = await from_both(two.port, "/nobody/x")
        await eventually(lambda: two.metric('headrace_proxy_requests_total{code="200"'), what="counted")

        async def summed() -> bool:
            counted = await two.metric('headrace_proxy_requests_total{code="200"')
            refused = await two.metric("headrace_proxy_refused_total")
            return (counted, refused) == (len(answers), len(unknown))

        await eventually(summed)
        assert await two.metric("headrace_proxy_workers") == 2
        assert replicas.served == {1: len(answers)}


async def test_each_worker_sees_the_others_load(two: TwoWorkers) -> None:
    """With thirty requests held, the split over two replicas is exact only if both workers count all of them."""
    async with fleet(2) as replicas:
        await two.apply(table("chat", routes=replicas.routes()))
        while not all(replicas.served.values()):
            assert (await ask(two.port)).status == 200
        before = replicas.served
        replicas.gate.clear()
        calls = []
        for number in range(1, 31):
            calls.append(asyncio.create_task(ask(two.port)))
            await eventually(lambda n=number: sum(replicas.served.values()) == sum(before.values()) + n)
        assert {replica: number - before[replica] for replica, number in replicas.served.items()} == {1: 15, 2: 15}
        await eventually(lambda: two.open == 30)

        async def shown() -> bool:
            return await two.metric("headrace_proxy_in_flight") == 30

        await eventually(shown)
        replicas.gate.set()
        answers = await asyncio.gather(*calls)
        assert {answer.status for answer in answers} == {200}
        assert len({answer.worker for answer in answers}) == 2
        await eventually(lambda: two.open == 0)


async def test_a_replicas_limit_holds_over_both_workers(two: TwoWorkers) -> None:
    async with fleet(1, held=True) as replicas:
        limits = Limits(max_in_flight_per_replica=1, max_queued=0)
        await two.apply(table("chat", routes=replicas.routes(), limits=limits))
        held = asyncio.create_task(ask(two.port))
        await eventually(lambda: replicas.served == {1: 1})
        refused = await from_both(two.port)
        assert {answer.status for answer in refused} == {429}
        replicas.gate.set()
        assert (await held).status == 200
        assert {answer.status for answer in await from_both(two.port)} == {200}


async def test_who_waits_in_one_worker_is_woken_by_room_in_the_other(two: TwoWorkers) -> None:
    async with fleet(1) as replicas:
        limits = Limits(max_in_flight_per_replica=1, queue_timeout_s=20)
        await two.apply(table("chat", routes=replicas.routes(), limits=limits))
        served: Counter[bytes] = Counter()
        enough = asyncio.Event()

        async def caller() -> None:
            line = await CallerConnection.to(two.port)
            while not enough.is_set():
                assert (await line.ask()).startswith(b"HTTP/1.1 200 ")
                served[line.worker] += 1
            line.writer.close()

        async with asyncio.TaskGroup() as group:
            for _ in range(16):
                group.create_task(caller())
            await eventually(lambda: len(served) == 2 and min(served.values()) >= 40)
            enough.set()
        assert replicas.most_at_once[1] <= 2, "one further request, where both looked in the same moment"


async def test_a_long_queue_in_one_worker_does_not_starve_the_other(two: TwoWorkers) -> None:
    """The worker that has the only place, and many who wait for it, leaves it to the other's one in time."""
    gate = asyncio.Event()
    gate.set()

    async def work(_: web.Request) -> web.Response:
        await gate.wait()
        await asyncio.sleep(0.01)  # what an answer takes
        return web.Response()

    async with backend(work) as replica:
        limits = Limits(max_in_flight_per_replica=1, queue_timeout_s=20)
        await two.apply(table("chat", routes=(route(port=replica.port),), limits=limits))
        by_worker: dict[bytes, list[CallerConnection]] = {}
        while len(by_worker) < 2 or max(map(len, by_worker.values())) < 30:
            line = await CallerConnection.to(two.port)
            await line.ask()
            by_worker.setdefault(line.worker, []).append(line)
        few, many = sorted(by_worker.values(), key=len)
        gate.clear()
        seen, order = len(replica.seen), []

        async def call(line: CallerConnection) -> None:
            await line.ask()
            order.append(line)

        calls = [asyncio.create_task(call(many[0]))]
        await eventually(lambda: len(replica.seen) == seen + 1)
        calls += [asyncio.create_task(call(line)) for line in many[1:30]]
        await eventually(lambda: _waiting(two) == 29)
        calls.append(asyncio.create_task(call(few[0])))
        await eventually(lambda: _waiting(two) == 30)
        gate.set()
        await asyncio.gather(*calls)
        assert order.index(few[0]) < 20
        for line in (*few, *many):
            line.writer.close()


async def test_tables_and_own_ports_reach_both_workers(two: TwoWorkers) -> None:
    async with fleet(2) as replicas:
        port, other = free_port(), free_port()
        first = table("chat", port=port, routes=replicas.routes()[:1])
        await two.apply(first)
        await eventually(lambda: accepts(port))
        answers = await from_both(port, "/any")
        assert {answer.data[-1:] for answer in answers} == {b"1"}
        await two.apply(first.model_copy(update={"generation": 2, "port": other, "routes": replicas.routes()[1:]}))
        await eventually(lambda: accepts(other))
        answers = await from_both(other, "/any")
        assert {answer.data[-1:] for answer in answers} == {b"2"}
        await eventually(lambda: refuses(port))
        two.world.apply(first.model_copy(update={"generation": 3, "removed": True}))
        await eventually(lambda: not two.traffic.generations())
        await eventually(lambda: refuses(other))
        assert {answer.status for answer in await from_both(two.port)} == {404}


async def test_the_receipt_of_a_drain_is_of_both_workers(two: TwoWorkers) -> None:
    async with fleet(1, held=True) as replicas:
        (route,) = replicas.routes()
        first = table("chat", routes=(route,))
        await two.apply(first)
        calls = [asyncio.create_task(ask(two.port)) for _ in range(20)]
        await eventually(lambda: replicas.served == {1: 20})
        until = datetime.now(UTC) + timedelta(seconds=60)
        draining = route.model_copy(update={"state": "draining", "drain_until": until})
        await two.apply(first.model_copy(update={"generation": 2, "routes": (draining,)}))
        # A generation is told as applied only together with what drains under it.
        drain = two.traffic.snapshot().drains[route.session_id]
        assert (drain.in_flight, drain.receipt.started) == (20, 20)
        replicas.gate.set()
        answers = await asyncio.gather(*calls)
        assert len({answer.worker for answer in answers}) == 2
        await eventually(lambda: two.traffic.snapshot().drains[route.session_id].in_flight == 0)
        receipt = two.traffic.snapshot().drains[route.session_id].receipt
        assert (receipt.started, receipt.finished, receipt.cut, receipt.failed) == (20, 20, 0, 0)
        await two.apply(first.model_copy(update={"generation": 3, "routes": ()}))
        assert two.traffic.snapshot().drains[route.session_id].receipt.finished == 20


def _waiting(two: TwoWorkers) -> int:
    return sum(waiting.requests for waiting in two.traffic.snapshot().queues.values())
