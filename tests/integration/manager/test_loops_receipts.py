"""Receipts of drains: from what app-proxies report to what users are shown, over restarts and deaths."""

from __future__ import annotations

import pytest

from headrace.common.contracts.http.receipts import ReceiptView, RolloutReceipt
from headrace.common.contracts.ids import ServiceId, SessionId, UserId
from headrace.common.contracts.messages.reports import DrainReceipt
from headrace.manager.domain.access import Actor
from headrace.manager.usecases.receipts import Receipts
from tests.support.fakes.appproxy import FakeAppProxy
from tests.support.wait import eventually
from tests.support.worlds.manager import ManagerWorld


class Looking:
    """A world in which somebody looks at receipts."""

    def __init__(self, world: ManagerWorld) -> None:
        self.world = world
        self._actor = Actor(UserId(world.user), "someone", operator=True, source_address="")
        self._receipts = Receipts(world.pool)

    async def receipts(self, service: ServiceId, *, revision: int | None = None) -> tuple[ReceiptView, ...]:
        page = await self._receipts.page(self._actor, str(service), revision=revision, before=None, limit=100)
        return page.items

    async def rollout(self, service: ServiceId, revision: int) -> RolloutReceipt:
        return await self._receipts.of_rollout(self._actor, str(service), revision)

    async def the_one(self, service: ServiceId) -> ReceiptView:
        found = await self.receipts(service)
        assert len(found) == 1
        return found[0]

    async def completed(self, service: ServiceId) -> ReceiptView:
        async def complete() -> bool:
            return (await self.the_one(service)).complete

        await eventually(complete)
        return await self.the_one(service)

    async def draining(self, service: ServiceId) -> SessionId:
        async def found() -> SessionId | None:
            query = (
                "select id from sessions where service_id = $1 and status = 'draining' and drain_generation is not null"
            )
            session_id: SessionId | None = await self.world.pool.fetchval(query, service)
            return session_id

        session_id: SessionId | None = await eventually(found)
        assert session_id is not None
        return session_id


@pytest.fixture
def look(world: ManagerWorld) -> Looking:
    return Looking(world)


def _receipt(started: int, **ended: float) -> DrainReceipt:
    return DrainReceipt(
        **{"finished": 0, "retried": 0, "failed": 0, "cut": 0, "slowest_s": 0.0, "started": started, **ended}
    )


async def _tells(proxy: FakeAppProxy, session_id: SessionId, receipt: DrainReceipt) -> None:
    proxy.receipts[session_id] = receipt
    await proxy.report()


async def test_an_update_says_what_it_cost_over_all_app_proxies(look: Looking) -> None:
    world = look.world
    await world.manager()
    one, two = await world.proxy("proxy-1"), await world.proxy("proxy-2")
    one.in_flight = two.in_flight = 1
    async with (await world.agent()).alive():
        service = await world.service("s", grace_s=60)
        await eventually(lambda: one.serving(service) == two.serving(service) == 1)
        assert await look.receipts(service) == ()
        await world.update(service, 2)
        leaving = await look.draining(service)
        await _tells(one, leaving, _receipt(3, finished=1, slowest_s=0.5))
        await _tells(two, leaving, _receipt(2, retried=1))

        async def told() -> bool:
            return (await look.the_one(service)).started == 5

        await eventually(told)
        seen = await look.the_one(service)
        assert (seen.replica, seen.revision, seen.replaced_by, seen.reason.code) == (
            leaving,
            1,
            2,
            "replaced-by-update",
        )
        assert (seen.ended_at, seen.complete, seen.waiting_for) == (None, False, ("proxy-1", "proxy-2"))
        rollout = await look.rollout(service, 2)
        assert (rollout.replicas, rollout.draining, rollout.complete, rollout.ended_at) == (1, 1, False, None)
        await _tells(two, leaving, _receipt(2, retried=1, failed=1, slowest_s=9.0))
        await _tells(one, leaving, _receipt(3, finished=2, cut=1, slowest_s=0.75))
        seen = await look.completed(service)
        assert (seen.started, seen.finished, seen.retried, seen.failed, seen.cut, seen.slowest_s) == (
            5,
            2,
            1,
            1,
            1,
            9.0,
        )
        assert (seen.proxies, seen.waiting_for) == (("proxy-1", "proxy-2"), ())
        assert seen.ended_at is not None
        assert seen.ended_at > seen.began_at
        rollout = await look.rollout(service, 2)
        assert (rollout.started, rollout.slowest_s, rollout.draining, rollout.complete) == (5, 9.0, 0, True)
        assert rollout.ended_at == seen.ended_at
        assert await look.receipts(service, revision=1) == ()
        assert len(await look.receipts(service, revision=2)) == 1


async def test_numbers_outlive_managers_and_are_counted_once_by_several(look: Looking) -> None:
    world = look.world
    one, two = await world.proxy("proxy-1"), await world.proxy("proxy-2")
    one.in_flight = two.in_flight = 1
    async with (await world.agent()).alive():
        service = await world.service("s", replicas=2, grace_s=60)
        async with world.running_manager():
            await eventually(lambda: one.serving(service) == two.serving(service) == 2)
            await world.set(service, wanted=1)
            leaving = await look.draining(service)
            await _tells(one, leaving, _receipt(4, finished=1))

            async def told() -> bool:
                return (await look.the_one(service)).finished == 1

            await eventually(told)
        await _tells(one, leaving, _receipt(4, finished=3))  # while no manager listens
        await world.manager()
        await world.manager()
        await _tells(two, leaving, _receipt(1, finished=1, slowest_s=2.0))
        await _tells(one, leaving, _receipt(4, finished=3, cut=1))
        seen = await look.completed(service)
        assert (seen.started, seen.finished, seen.cut, seen.slowest_s) == (5, 4, 1, 2.0)
        assert (seen.reason.code, seen.replaced_by) == ("scaled-in", None)
        await eventually(lambda: world.statuses(service))
        await _tells(two, leaving, _receipt(1, finished=1, slowest_s=3.0))  # a late number

        async def late() -> bool:
            return (await look.the_one(service)).slowest_s == 3.0

        await eventually(late)
        assert (await look.the_one(service)).complete


async def test_an_app_proxy_that_dies_is_named_and_its_numbers_stay(look: Looking) -> None:
    world = look.world
    await world.manager()
    one, two = await world.proxy("proxy-1"), await world.proxy_to_start("proxy-2")
    one.in_flight = two.in_flight = 1
    async with (await world.agent()).alive():
        service = await world.service("s", grace_s=2)
        async with two.alive():
            await eventually(lambda: one.serving(service) == two.serving(service) == 1)
            await world.set(service, goal="stopped")
            leaving = await look.draining(service)
            await _tells(two, leaving, _receipt(3, finished=1))

            async def told() -> bool:
                return (await look.the_one(service)).started == 3

            await eventually(told)
        await _tells(one, leaving, _receipt(2, finished=2))

        async def over() -> bool:
            seen = await look.the_one(service)
            return seen.ended_at is not None and seen.started == 5

        await eventually(over)
        seen = await look.the_one(service)
        assert (seen.finished, seen.waiting_for, seen.complete) == (3, ("proxy-2",), False)
        assert (seen.reason.code, seen.replaced_by) == ("service-stopped", None)


async def test_a_replica_that_died_has_a_receipt_once_an_app_proxy_tells_of_it(look: Looking) -> None:
    world = look.world
    await world.manager()
    proxy = await world.proxy()
    async with (await world.agent()).alive() as agent:
        service = await world.service("s", grace_s=60)
        await eventually(lambda: proxy.serving(service) == 1)
        (first,) = {spec.session_id for spec in agent.kernels.values()}
        await _tells(proxy, first, _receipt(2, failed=1))  # it saw the connections break before anybody else did
        assert await look.receipts(service) == ()
        agent.outcome = lambda spec: "failed" if spec.session_id == first else "healthy"
        agent.report_now()
        await _tells(proxy, first, _receipt(2, failed=2))
        seen = await look.completed(service)
        assert (seen.replica, seen.failed, seen.replaced_by, seen.proxies) == (first, 2, None, ("proxy-1",))
        assert seen.reason.code == "failed"
        assert (await look.rollout(service, 1)).replicas == 0
