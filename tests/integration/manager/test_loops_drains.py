"""Drains of machines: replicas move elsewhere one service after the other, and callers lose nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from headrace.common.contracts.http.agent_drains import AgentDrainView, StartDrain
from headrace.common.contracts.http.agents import CordonAgent
from headrace.common.contracts.ids import ServiceId
from headrace.common.runtime.clock import utc_now
from headrace.manager.bus_authority import BusAuthority
from headrace.manager.domain.access import Actor
from headrace.manager.domain.addresses import AddressPolicy
from headrace.manager.domain.lifecycle import agent_drain
from headrace.manager.usecases.agent_drains import AgentDrains
from headrace.manager.usecases.agents import Agents
from headrace.manager.usecases.identities import Identities
from tests.support.fakes.agent import FakeAgent
from tests.support.fakes.appproxy import FakeAppProxy
from tests.support.wait import eventually
from tests.support.worlds.manager import ManagerWorld


class NoPokes:
    """The loops' periods are short enough."""

    def poke(self, *_: str) -> None:
        """Wake nobody."""


@dataclass
class Drains:
    """Two machines, of which the first is drained; and what its operator does."""

    world: ManagerWorld
    proxy: FakeAppProxy
    here: FakeAgent
    there: FakeAgent

    def __post_init__(self) -> None:
        self.operator = Actor(self.world.user, "ada", operator=True)
        self.drains = AgentDrains(self.world.pool, NoPokes(), utc_now)
        identities = Identities(self.world.pool, BusAuthority(None), NoPokes())
        self.agents = Agents(self.world.pool, AddressPolicy(), identities, NoPokes())

    async def start(self, message: str = "") -> AgentDrainView:
        return await self.drains.start(self.operator, "agent-1", StartDrain(message=message))

    async def shown(self) -> AgentDrainView:
        return await self.drains.show(self.operator, "agent-1")

    async def until(self, **facts: Any) -> AgentDrainView:
        """Wait until the drain is so."""

        async def look() -> AgentDrainView | None:
            found = await self.shown()
            return found if all(getattr(found, name) == value for name, value in facts.items()) else None

        found: AgentDrainView | None = await eventually(look)
        assert found is not None
        return found

    async def service(self, name: str, **facts: Any) -> ServiceId:
        """A service that serves, on the first machine: the second one takes nothing meanwhile."""
        await self.agents.cordon(self.operator, "agent-2", CordonAgent())
        service = await self.world.service(name, **facts)
        await eventually(lambda: self.proxy.serving(service) == facts.get("replicas", 1))
        await self.agents.uncordon(self.operator, "agent-2")
        return service

    def fewest(self, service: ServiceId, since: int) -> int:
        """Return the fewest active routes that callers had."""
        tables = [table for table in self.proxy.history[since:] if table.service_id == service]
        return min((sum(r.state == "active" for r in table.routes) for table in tables), default=99)


@pytest.fixture
async def drains(world: ManagerWorld) -> AsyncIterator[Drains]:
    async with AsyncExitStack() as stack:
        here = await stack.enter_async_context((await world.agent("agent-1")).alive())
        there = await stack.enter_async_context((await world.agent("agent-2")).alive())
        await world.manager()

        async def known() -> bool:
            return bool(await world.pool.fetchval("select count(*) = 2 from agents"))

        await eventually(known)
        yield Drains(world, await world.proxy(), here, there)


async def test_replicas_move_and_callers_always_have_as_many(drains: Drains) -> None:
    one, two = await drains.service("one", replicas=2), await drains.service("two")
    seen = len(drains.proxy.history)
    started = await drains.start("new RAM")
    assert (started.status, started.started_by, started.message) == ("draining", "ada", "new RAM")
    found = await drains.until(status="finished")
    assert drains.fewest(one, seen) == 2
    assert drains.fewest(two, seen) == 1
    assert drains.here.kernels == {}
    assert len(drains.there.kernels) == 3
    assert found.services == ()
    await eventually(lambda: drains.proxy.serving(one) == 2)
    receipt = (await drains.until(status="finished")).receipt
    assert (receipt.replicas, receipt.draining) == (3, 0)
    cordon = (await drains.agents.show(drains.operator, "agent-1")).cordon
    assert cordon is not None
    assert cordon.reason == "new RAM"
    actions = [row["action"] for row in await drains.world.pool.fetch("select action from events order by id")]
    assert [a for a in actions if "drain" in a] == ["agent.drain-started", "agent.drained"]
    reasons = await drains.world.pool.fetch("select distinct reason_code from drain_receipts")
    assert [row["reason_code"] for row in reasons] == ["agent-drained"]


async def test_services_move_one_after_the_other(drains: Drains) -> None:
    await drains.service("one")
    await drains.service("two")
    drains.there.outcome = lambda _: "starting"
    await drains.start()

    async def waits() -> bool:
        return [s.reason.code for s in (await drains.shown()).services] == ["moving", "waiting-turn"]

    await eventually(waits)
    await eventually(lambda: len(drains.there.kernels) == 1)
    assert [s.replicas for s in (await drains.shown()).services] == [1, 1]
    drains.there.outcome = lambda _: "healthy"
    drains.there.report_now()
    await drains.until(status="finished")


async def test_one_that_finds_no_machine_says_the_numbers_and_holds_nobody_up(
    drains: Drains, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_drain, "STUCK_AFTER", agent_drain.STUCK_AFTER * 0)
    large = await drains.service("a-large", slots={"cpu": "6", "mem": "1024"})
    await drains.service("small")
    await drains.agents.cordon(drains.operator, "agent-1", CordonAgent())
    filler = await drains.world.service("filler", slots={"cpu": "4", "mem": "1024"})
    await eventually(lambda: drains.proxy.serving(filler) == 1)
    await drains.start("sold")

    async def stuck() -> AgentDrainView | None:
        found = await drains.shown()
        return found if [s.name for s in found.services] == ["p/a-large"] else None

    found: AgentDrainView | None = await eventually(stuck)
    assert found is not None
    assert found.status == "draining"
    (service,) = found.services
    assert service.reason.code == "no-machine"

    async def numbers() -> bool:
        text = (await drains.shown()).services[0].reason.text
        return "agent-2 would need 6 cpu, 3 of 8 free" in text and "agent-1 is cordoned by ada" in text

    await eventually(numbers)
    assert drains.proxy.serving(large) == 1
    await drains.world.set(filler, wanted=0)
    await drains.until(status="finished")
    assert drains.proxy.serving(large) == 1


async def test_a_drain_is_cancelled_by_uncordon_and_what_it_started_leaves(drains: Drains) -> None:
    service = await drains.service("one")
    drains.there.outcome = lambda _: "starting"
    await drains.start()
    await eventually(lambda: len(drains.there.kernels) == 1)
    await drains.agents.uncordon(drains.operator, "agent-1")
    await eventually(lambda: drains.there.kernels == {})
    assert (await drains.shown()).status == "cancelled"
    assert drains.proxy.serving(service) == 1
    assert len(drains.here.kernels) == 1
    again = await drains.start()
    assert again.status == "draining"


async def test_a_manager_that_ends_in_between_is_followed_by_another(world: ManagerWorld) -> None:
    async with (
        (await world.agent("agent-1")).alive() as here,
        (await world.agent("agent-2")).alive() as there,
    ):
        there.outcome = lambda _: "starting"
        drains = Drains(world, await world.proxy(), here, there)
        async with world.running_manager():

            async def known() -> bool:
                return bool(await world.pool.fetchval("select count(*) = 2 from agents"))

            await eventually(known)
            service = await drains.service("one")
            await drains.start()
            await eventually(lambda: len(there.kernels) == 1)
        there.outcome = lambda _: "healthy"
        async with world.running_manager():
            await drains.until(status="finished")
            assert drains.proxy.serving(service) == 1
            assert here.kernels == {}


async def test_an_update_and_fewer_replicas_meanwhile_are_fine(drains: Drains) -> None:
    service = await drains.service("one", replicas=3)
    seen = len(drains.proxy.history)
    await drains.start()
    await drains.world.update(service, 2)
    await drains.world.set(service, wanted=2)
    await drains.until(status="finished")

    async def settled() -> bool:
        return await drains.world.statuses(service) == ["running"] * 2

    await eventually(settled)
    assert drains.fewest(service, seen) == 2
    assert drains.here.kernels == {}


async def test_an_empty_machine_is_drained_at_once_and_one_that_stops_is_waited_for(drains: Drains) -> None:
    await drains.start()
    await drains.until(status="finished")
    await drains.agents.uncordon(drains.operator, "agent-1")
    await drains.service("one")
    drains.here.clings = True
    await drains.start()

    async def leaving() -> bool:
        return [s.reason.code for s in (await drains.shown()).services] == ["leaving"]

    await eventually(leaving)
    drains.here.clings = False
    drains.here.kernels = {}
    drains.here.report_now()
    await drains.until(status="finished")


async def test_the_drain_of_a_lost_machine_says_that_it_is_silent_and_ends_when_it_is_back(world: ManagerWorld) -> None:
    here = await world.agent("agent-1")
    async with (await world.agent("agent-2")).alive() as there:
        drains = Drains(world, await world.proxy(), here, there)
        await world.manager()
        async with here.alive():

            async def known() -> bool:
                return bool(await world.pool.fetchval("select count(*) = 2 from agents"))

            await eventually(known)
            service = await drains.service("one")
        await drains.start()

        async def silent() -> bool:
            found = await drains.shown()
            return found.reason is not None and found.reason.code == "agent-lost" and found.services == ()

        await eventually(silent)
        assert drains.proxy.serving(service) == 1
        async with here.alive():
            await drains.until(status="finished")
            assert here.kernels == {}
