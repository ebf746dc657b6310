"""From rows to running replicas and back, over real PostgreSQL and NATS."""

from __future__ import annotations

from functools import partial
from typing import Literal

import pytest

from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import ask
from headrace.common.contracts.ids import RuleId, new_uuid
from headrace.common.contracts.messages.reports import Disk
from headrace.common.contracts.messages.scaling import ScaleReply, ScaleRequest
from headrace.common.contracts.reasons import Reason
from headrace.common.runtime.clock import utc_now
from tests.support.wait import eventually
from tests.support.worlds.manager import ManagerWorld


async def test_a_service_is_placed_planned_run_and_routed(world: ManagerWorld) -> None:
    await world.manager()
    proxy = await world.proxy()
    async with (await world.agent()).alive() as agent:
        service = await world.service("s", replicas=2)
        await eventually(lambda: proxy.serving(service) == 2)
        assert await world.statuses(service) == ["running", "running"]
        assert {spec.service_id for spec in agent.kernels.values()} == {service}
        held = await world.pool.fetchval("select sum(amount) from allocations where slot = 'cpu'")
        assert held == 2


async def test_scale_in_drains_then_stops_then_frees(world: ManagerWorld) -> None:
    await world.manager()
    proxy = await world.proxy()
    async with (await world.agent()).alive() as agent:
        service = await world.service("s", replicas=3, grace_s=60)
        await eventually(lambda: proxy.serving(service) == 3)
        proxy.in_flight = 1
        await world.set(service, wanted=1)
        await eventually(lambda: proxy.serving(service) == 1)
        assert await eventually(lambda: world.statuses(service)) == ["draining", "draining", "running"]
        assert len(agent.kernels) == 3, "what drains keeps running"
        deadlines = await world.pool.fetch("select drain_deadline from sessions where status = 'draining'")
        told = [route.drain_until for route in proxy.tables[service].routes]
        assert sorted(t for t in told if t) == sorted(row["drain_deadline"] for row in deadlines)
        assert told.count(None) == 1
        proxy.in_flight = 0
        await eventually(lambda: len(agent.kernels) == 1)

        async def freed() -> bool:
            return bool(await world.pool.fetchval("select count(*) from allocations where slot = 'cpu'") == 1)

        await eventually(freed)
        assert await world.statuses(service) == ["running"]


async def test_codes_of_reasons_that_another_version_wrote_break_no_pass(world: ManagerWorld) -> None:
    await world.manager()
    proxy = await world.proxy()
    async with (await world.agent()).alive() as agent:  # whose codes are in no catalogue
        service = await world.service("s", replicas=2, grace_s=0)
        await eventually(lambda: proxy.serving(service) == 2)
        for rows in ("sessions", "kernels"):
            await world.pool.execute(f"update {rows} set reason_code = 'Of Yesterday!'")
        await world.set(service, wanted=1)
        await eventually(lambda: proxy.serving(service) == 1)
        await eventually(lambda: len(agent.kernels) == 1)
    assert await world.pool.fetchval("select problem from services where id = $1", service) is None


async def test_slots_stay_held_until_the_machine_shows_the_kernel_no_more(world: ManagerWorld) -> None:
    await world.manager()
    async with (await world.agent(cpu="1")).alive() as agent:
        first = await world.service("first", grace_s=0)
        await eventually(lambda: len(agent.kernels) == 1)
        agent.clings = True
        await world.set(first, goal="deleting")

        async def stopping() -> bool:
            return await world.statuses(first) == ["stopping"]

        await eventually(stopping)
        second = await world.service("second")

        async def waits() -> str | None:
            query = "select reason_text from sessions where service_id = $1 and reason_code = 'insufficient-slots'"
            text: str | None = await world.pool.fetchval(query, second)
            return text

        assert "would need 1 cpu, 0 of 1 free" in str(await eventually(waits))
        agent.clings = False
        agent.kernels = {}
        agent.report_now()

        async def runs() -> bool:
            return await world.statuses(second) == ["running"]

        await eventually(runs)
        assert await world.pool.fetchval("select deleted_at is not null from services where id = $1", first)


@pytest.mark.parametrize("which", ["disk", "engine_disk"])
async def test_nothing_is_placed_where_a_disk_has_less_than_its_reserve_until_it_has_more(
    world: ManagerWorld, which: Literal["disk", "engine_disk"]
) -> None:
    await world.manager()
    async with (await world.agent()).alive() as agent:
        agent.disks[which] = Disk(free_bytes=1, total_bytes=2**30, reserve_bytes=2)
        agent.report_now()

        async def told() -> bool:
            found = await world.pool.fetchval("select machine from agents where id = $1", agent.id)
            return ((found or {}).get(which) or {}).get("free_bytes") == 1

        await eventually(told)
        service = await world.service("chat")

        async def waits() -> bool:
            query = "select reason_code from sessions where service_id = $1"
            return bool(await world.pool.fetchval(query, service) == "disk-low")

        await eventually(waits)
        agent.disks[which] = Disk(free_bytes=2, total_bytes=2**30, reserve_bytes=2)
        agent.report_now()

        async def runs() -> bool:
            return await world.statuses(service) == ["running"]

        await eventually(runs)


async def test_a_lost_machine_is_replaced_and_returns_to_nothing(world: ManagerWorld) -> None:
    await world.manager(lost_after_s=1)
    proxy = await world.proxy()
    one, two = await world.agent("agent-1"), await world.agent("agent-2")
    async with two.alive():
        async with one.alive():
            service = await world.service("s", replicas=2)
            await eventually(lambda: proxy.serving(service) == 2)
            owner = next(agent for agent in (one, two) if agent.kernels)
            assert len(owner.kernels) == 2, "packed on one machine"
        if owner is two:
            return

        async def replaced() -> bool:
            """What ran on the lost machine is dropped; until then it would be taken back."""
            living = "select count(*) from sessions x join kernels k on k.session_id = x.id where x.status <> 'ended' and k.agent_id = 'agent-1'"
            return len(two.kernels) == 2 and await world.pool.fetchval(living) == 0

        await eventually(replaced)
        await eventually(lambda: proxy.serving(service) == 2)
        async with one.alive():
            await eventually(lambda: one.kernels == {})

            async def freed() -> bool:
                return bool(
                    await world.pool.fetchval("select count(*) from allocations where agent_id = 'agent-1'") == 0
                )

            await eventually(freed)


async def test_failed_starts_back_off_then_stop_with_their_errors(world: ManagerWorld) -> None:
    await world.manager()
    async with (await world.agent()).alive() as agent:
        agent.outcome = lambda _spec: "failed"
        service = await world.service("s")
        world.clock.stop()

        async def failed(times: int) -> bool:
            return bool(await world.pool.fetchval("select failed_starts from services where id = $1", service) == times)

        for times in range(1, 6):
            await eventually(partial(failed, times))
            world.clock.advance(20)
        errors = await world.pool.fetch("select reason_text from start_errors where service_id = $1", service)
        assert [row["reason_text"] for row in errors] == ["the test says failed"] * 5

        async def quiet() -> bool:
            return await world.statuses(service) == []

        await eventually(quiet)
        agent.outcome = lambda _spec: "healthy"
        await world.set(service, failed_starts=0, next_start_at=None)

        async def runs() -> bool:
            return await world.statuses(service) == ["running"]

        await eventually(runs)


async def test_an_update_never_serves_with_fewer_than_wanted(world: ManagerWorld) -> None:
    await world.manager()
    proxy = await world.proxy()
    async with (await world.agent()).alive():
        service = await world.service("s", replicas=2)
        await eventually(lambda: proxy.serving(service) == 2)
        mark = len(proxy.history)
        revision = await world.update(service, 2)

        async def updated() -> bool:
            rows = await world.pool.fetch(
                "select revision_id, status from sessions where service_id = $1 and status <> 'ended'", service
            )
            return [(r["revision_id"], r["status"]) for r in rows] == [(revision, "running")] * 2

        await eventually(updated)
        served = [
            sum(r.health == "healthy" and r.state == "active" for r in table.routes) for table in proxy.history[mark:]
        ]
        assert min(served) >= 2, served


async def test_a_bad_update_leaves_the_old_replicas_serving(world: ManagerWorld) -> None:
    await world.manager()
    proxy = await world.proxy()
    async with (await world.agent()).alive() as agent:
        service = await world.service("s", replicas=2)
        await eventually(lambda: proxy.serving(service) == 2)
        revision = await world.update(service, 2)
        agent.outcome = lambda spec: "failed" if spec.revision_id == revision else "healthy"

        async def rolled_back() -> bool:
            sql = "select revision_id <> $2 from services where id = $1"
            return bool(await world.pool.fetchval(sql, service, revision))

        await eventually(rolled_back, every_s=0.1)
        assert proxy.serving(service) == 2


async def test_two_managers_at_once_and_one_that_goes(world: ManagerWorld) -> None:
    proxy = await world.proxy()
    async with (await world.agent()).alive() as agent, world.running_manager():
        async with world.running_manager():
            service = await world.service("s", replicas=5)
            await eventually(lambda: proxy.serving(service) == 5)
            await world.set(service, wanted=2)
        await eventually(lambda: len(agent.kernels) == 2)
        await world.set(service, goal="deleting")
        await eventually(lambda: agent.kernels == {})
        await eventually(lambda: proxy.tables[service].removed)
        assert await world.pool.fetchval("select count(*) from allocations") == 0


async def test_gpus_are_granted_whole_or_in_shares(world: ManagerWorld) -> None:
    await world.manager()
    async with (await world.agent(gpus=2)).alive() as agent:
        await world.service("whole", slots={"cpu": "1", "cuda.device": "1"})
        await world.service("half", replicas=2, slots={"cpu": "1", "cuda.shares": "0.5"})
        await eventually(lambda: len(agent.kernels) == 3)
        grants = sorted(
            (spec.name, grant.gpu_id, str(grant.share)) for spec in agent.kernels.values() for grant in spec.gpus
        )
        (_, half_a, share), (_, half_b, _), (_, whole, full) = grants
        assert (half_a, share, full) == (half_b, "0.5", "1")
        assert whole != half_a


async def test_a_plan_names_the_metrics_that_rules_look_at_and_follows_their_changes(world: ManagerWorld) -> None:
    await world.manager()
    async with (await world.agent()).alive() as agent:
        service = await world.service("s")
        await world.service("without-rules")
        await eventually(lambda: len(agent.kernels) == 2)
        assert agent.watched == {}
        rules = []
        for metric, source, enabled in (
            ("vllm:num_requests_running", "inference-framework", True),
            ("headrace_in_flight", "inference-framework", True),
            ("cpu_util", "kernel", True),
            ("vllm:off", "inference-framework", False),
        ):
            rules.append(RuleId(new_uuid()))
            spec = {"metric": metric, "source": source, "enabled": enabled}
            await world.pool.execute(
                "insert into rules (id, service_id, spec, created_by) values ($1, $2, $3, $4)",
                rules[-1],
                service,
                spec,
                world.user,
            )
        await eventually(lambda: agent.watched == {service: ("vllm:num_requests_running",)})
        await world.pool.execute("delete from rules where id = $1", rules[0])
        await eventually(lambda: agent.watched == {service: ()})
        await world.pool.execute("delete from rules")
        await eventually(lambda: agent.watched == {})


async def test_a_scale_request_over_the_bus(world: ManagerWorld) -> None:
    await world.manager()
    async with (await world.agent()).alive() as agent:
        service = await world.service("s")
        rule = RuleId(new_uuid())
        await world.pool.execute(
            "insert into rules (id, service_id, spec, created_by) values ($1, $2, '{}', $3)", rule, service, world.user
        )
        request = ScaleRequest(
            service_id=service,
            rule_id=rule,
            from_wanted=1,
            wanted=3,
            observed=1,
            decided_at=utc_now(),
            reason=Reason(code="fired", text="1 > 0"),
        )
        reply = await ask(await world.bus("autoscaler"), request, ScaleReply)
        assert reply.applied
        await eventually(lambda: len(agent.kernels) == 3)


async def test_a_bus_that_lost_its_streams_is_filled_again(world: ManagerWorld, bus: Bus) -> None:
    from nats.js import JetStreamContext  # noqa: PLC0415 - only here

    await world.manager()
    async with (await world.agent()).alive() as agent:
        await world.service("s")
        await eventually(lambda: len(agent.kernels) == 1)
        js = JetStreamContext(bus.client, timeout=5)
        await js.purge_stream("PLANS")

        async def there_again() -> bool:
            return (await js.stream_info("PLANS")).state.messages == 1

        await eventually(there_again)
