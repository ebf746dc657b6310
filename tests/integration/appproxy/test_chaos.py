"""Two hundred streams at once while replicas are killed, drained, cut and added: everything is accounted for, nothing is left.

The same at full scale, against processes: tests/chaos/streams.py.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

from headrace.common.contracts.messages.reports import DrainingRoute
from headrace.common.contracts.messages.routes import Limits, RouteTable
from tests.chaos.account import ScrapedMetrics, disagreements
from tests.chaos.callers import Caller, Tally
from tests.chaos.churn import Churn, ReplicaHandle
from tests.chaos.engine import Engine
from tests.support.factories.route_tables import table
from tests.support.wait import eventually
from tests.support.worlds.appproxy import running

STREAMS = 200
DEEDS = 42
"""Seven rounds; about ten seconds."""


def sockets() -> int:
    """Return how many sockets this process has open."""
    found = 0
    for name in Path("/proc/self/fd").iterdir():
        try:
            found += str(name.readlink()).startswith("socket:")
        except FileNotFoundError:
            continue
    return found


async def test_nothing_is_lost_and_nothing_is_left(tmp_path: Path) -> None:
    async with running(tmp_path, replica_keepalive_s=0.5) as world:
        numbers, tally = ScrapedMetrics(), Tally()
        numbers.take(await world.metrics())
        sockets_before, tasks_before = sockets(), len(asyncio.all_tasks())

        async def make() -> ReplicaHandle:
            made = Engine()
            await made.start()
            return made

        async def publish(changed: RouteTable) -> None:
            world.apply(changed)

        churn = Churn(
            table("chat", limits=Limits(max_in_flight_per_replica=50)),
            make=make,
            publish=publish,
            idle=lambda session_id: world.in_flight(session_id) == 0,
            chance=Random(1),
            most=6,
        )
        await churn.begin()
        churning = True
        async with asyncio.TaskGroup() as group:
            for n in range(STREAMS):
                caller = Caller(world.port, "/chat", tally, Random(n))
                group.create_task(caller.run(lambda: churning, events=(1, 25), every_ms=50))
            for _ in range(DEEDS):
                await asyncio.sleep(0.2)
                await churn.step()
            churning = False
        await churn.end()

        plane = world.plane
        await eventually(lambda: not (plane.open_requests or plane.downstreams.open or plane.context.tasks.running))
        await eventually(lambda: sockets() <= sockets_before, what="every socket is closed")
        await eventually(lambda: len(asyncio.all_tasks()) <= tasks_before, what="every task has ended")
        drains = world.proxy.traffic.snapshot().drains
        receipts = [
            DrainingRoute(session_id=session_id, in_flight=drain.in_flight, receipt=drain.receipt)
            for session_id, drain in drains.items()
        ]
        assert {receipt.session_id for receipt in receipts} == churn.left
        numbers.take(await world.metrics())
        assert disagreements(tally, numbers, receipts) == []
        # And it was chaos.
        assert churn.deeds == {"add": 21, "kill": 7, "drain": 7, "cut": 7}
        assert tally.outcomes["done"] > STREAMS
        assert tally.outcomes["told"] > 0
        assert tally.outcomes["left"] > 0
        assert sum(receipt.receipt.cut for receipt in receipts if receipt.receipt) > 0
