"""What becomes of replicas in operation: they end, rollouts fail or find no room. Over real PostgreSQL and NATS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

from prometheus_client import REGISTRY

from headrace.common.contracts.ids import KernelId, RevisionId, ServiceId, SessionId, new_uuid
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.manager.domain.variants.resolved_spec import ResolvedSpec
from headrace.manager.store import ends, sessions
from tests.support.fakes.agent import FakeAgent, Outcome
from tests.support.wait import eventually
from tests.support.worlds.manager import ManagerWorld

_NO_TIME = timedelta(0)


def fails(agent: FakeAgent, revision: UUID) -> None:
    """From now on no kernel of this revision starts on the machine."""

    def outcome(spec: KernelSpec) -> Outcome:
        return "failed" if spec.revision_id == revision else "healthy"

    agent.outcome = outcome


async def column(world: ManagerWorld, service: ServiceId, name: str) -> Any:
    return await world.pool.fetchval(f"select {name} from services where id = $1", service)


async def running(world: ManagerWorld, service: ServiceId, revision: UUID) -> int:
    return int(
        await world.pool.fetchval(
            "select count(*) from sessions where service_id = $1 and revision_id = $2 and status = 'running' and health = 'healthy'",
            service,
            revision,
        )
    )


async def gave_up(world: ManagerWorld, service: ServiceId) -> bool:
    return bool(await column(world, service, "failed_starts") >= 5)


async def test_after_a_failed_rollout_dead_replicas_of_the_revision_that_serves_are_replaced(
    world: ManagerWorld,
) -> None:
    await world.manager()
    proxy = await world.proxy()
    async with (await world.agent()).alive() as agent:
        service = await world.service("s", replicas=2)
        await eventually(lambda: proxy.serving(service) == 2)
        await eventually(lambda: column(world, service, "served_revision_id"))
        first = await column(world, service, "revision_id")
        second = await world.revision(service, 2)
        fails(agent, second)
        await world.set(service, revision_id=second, failed_starts=4, rollout={"on_failure": "keep"})
        await eventually(lambda: gave_up(world, service))
        crashed = set(agent.kernels)
        agent.ends.update(dict.fromkeys(crashed, "exited"))
        agent.report_now()

        async def replaced() -> bool:
            return not crashed & set(agent.kernels) and await running(world, service, first) == 2

        await eventually(replaced)
        await world.set(service, wanted=3)

        async def scaled() -> bool:
            return await running(world, service, first) == 3

        await eventually(scaled)
        assert await column(world, service, "revision_id") == second


async def test_a_rollout_that_failed_is_rolled_back_when_told_to(world: ManagerWorld) -> None:
    await world.manager()
    proxy = await world.proxy()
    async with (await world.agent()).alive() as agent:
        service = await world.service("s", replicas=2)
        await eventually(lambda: proxy.serving(service) == 2)
        await eventually(lambda: column(world, service, "served_revision_id"))
        first, before = await column(world, service, "revision_id"), set(agent.kernels)
        second = await world.revision(service, 2)
        fails(agent, second)
        await world.set(service, revision_id=second, failed_starts=4, rollout={"on_failure": "roll-back"})

        async def rolled_back() -> bool:
            return await column(world, service, "revision_id") == first and set(agent.kernels) == before

        await eventually(rolled_back)
        events = await world.pool.fetch("select actor, message from events where action = 'service.rolled-back'")
        assert [tuple(event) for event in events] == [
            (
                "headrace",
                "the rollout of revision 2 failed: 5 starts of it in a row failed; revision 1 is the current one again",
            )
        ]
        assert await world.pool.fetchval("select count(*) from start_errors where service_id = $1", service) >= 1


async def test_ends_in_operation_are_kept_with_exit_code_counted_and_slowed_down(world: ManagerWorld) -> None:
    await world.manager()
    async with (await world.agent()).alive() as agent:
        service = await world.service("s")
        first = await column(world, service, "revision_id")

        async def serves() -> bool:
            return await running(world, service, first) == 1

        for round_ in range(1, 4):
            await eventually(serves)
            agent.ends.update(dict.fromkeys(agent.kernels, "exited"))
            agent.report_now()

            async def recorded(times: int = round_) -> bool:
                return bool(await column(world, service, "ends") == times)

            await eventually(recorded)
        wait = await world.pool.fetchval("select next_restart_at - last_end_at from services where id = $1", service)
        assert timedelta(seconds=1) < wait <= timedelta(seconds=2), (
            "from the decision on, which is noted a little later"
        )
        kept = await world.pool.fetch("select * from replica_ends where service_id = $1", service)
        assert [(row["exit_code"], row["revision"], row["agent_id"]) for row in kept] == [(137, 1, "agent-1")] * 3
        events = await world.pool.fetch("select details from events where action = 'replica.ended' order by id")
        assert [(e["details"]["signal"], e["details"]["in_a_row"]) for e in events] == [
            ("SIGKILL", 1),
            ("SIGKILL", 2),
            ("SIGKILL", 3),
        ]


async def becomes(probe: Callable[[], Awaitable[object]], value: object) -> None:
    async def there() -> bool:
        return await probe() == value

    await eventually(there)


def counted(cause: str) -> float:
    return REGISTRY.get_sample_value("headrace_manager_ended_replicas_total", {"cause": cause}) or 0.0


async def healthy_replica(world: ManagerWorld, service: ServiceId) -> KernelId:
    """Wait for the service's one replica to serve, and return its kernel."""
    first = await column(world, service, "revision_id")
    await becomes(lambda: world.statuses(service), ["running"])
    await becomes(lambda: running(world, service, first), 1)
    return KernelId(
        await world.pool.fetchval(
            "select k.id from kernels k join sessions x on x.id = k.session_id where x.service_id = $1 and x.status = 'running'",
            service,
        )
    )


async def test_a_replica_that_is_replaced_since_it_fails_its_checks_is_one_end_in_operation_with_two_managers(
    world: ManagerWorld,
) -> None:
    await world.manager()
    await world.manager()
    before = counted("unhealthy"), counted("exited")
    async with (await world.agent()).alive() as agent:
        service = await world.service("s", grace_s=30)
        proxy = await world.proxy()
        await eventually(lambda: proxy.serving(service) == 1)
        kernel = await healthy_replica(world, service)
        proxy.in_flight = 1
        agent.failing.add(kernel)
        agent.report_now()
        await becomes(lambda: world.statuses(service), ["draining", "running"])
        agent.ends[kernel] = "exited"  # a replica that drains since it failed ends by itself, too
        agent.report_now()
        await becomes(lambda: world.statuses(service), ["running"])
    kept = await world.pool.fetch("select reason_code, reason_text, exit_code from replica_ends")
    failed = "GET /health failed 4 times in a row (allowed: 3): answered 500"
    assert [tuple(row) for row in kept] == [("health-check-failed", failed, None)]
    events = await world.pool.fetch("select message, details from events where action = 'replica.ended'")
    assert [(e["message"], e["details"]["code"], e["details"]["in_a_row"]) for e in events] == [
        (failed, "health-check-failed", 1)
    ]
    assert (counted("unhealthy") - before[0], counted("exited") - before[1]) == (1, 0)
    assert await column(world, service, "ends") == 1
    assert await column(world, service, "last_end_at") is not None


async def test_an_end_whose_pass_was_cut_off_is_recorded_by_the_next_one_and_once(
    world: ManagerWorld, monkeypatch: Any
) -> None:
    keep, cut = ends.keep, list[bool]()

    async def cut_off(*arguments: Any) -> bool:
        recorded = await keep(*arguments)
        if not cut:
            cut.append(recorded)
            raise OSError("the database is gone")
        return recorded

    monkeypatch.setattr(ends, "keep", cut_off)
    await world.manager()
    before = counted("unhealthy")
    async with (await world.agent()).alive() as agent:
        service = await world.service("s", grace_s=0)
        proxy = await world.proxy()
        await eventually(lambda: proxy.serving(service) == 1)
        agent.failing.add(await healthy_replica(world, service))
        agent.report_now()
        await becomes(lambda: column(world, service, "ends"), 1)
        await eventually(lambda: counted("unhealthy") - before == 1)
    assert cut == [True]
    assert await world.pool.fetchval("select count(*) from replica_ends") == 1
    assert await world.pool.fetchval("select count(*) from events where action = 'replica.ended'") == 1


async def test_replicas_that_were_stopped_with_their_agent_are_replaced_and_no_ends(world: ManagerWorld) -> None:
    await world.manager()
    async with (await world.agent()).alive() as agent:
        service = await world.service("s")
        kernel = await healthy_replica(world, service)
        agent.ends[kernel] = "stopped with the agent"
        agent.report_now()
        await eventually(lambda: kernel not in agent.kernels)
        assert await healthy_replica(world, service) != kernel
    assert await world.pool.fetchval("select count(*) from replica_ends") == 0
    assert (await column(world, service, "ends"), await column(world, service, "last_end_at")) == (0, None)


async def test_failed_starts_are_events_with_their_cause_one_for_each_round(world: ManagerWorld) -> None:
    await world.manager()
    async with (await world.agent()).alive() as agent:
        service = await world.service("s")
        await healthy_replica(world, service)
        second = await world.revision(service, 2)
        fails(agent, second)
        await world.pool.execute(  # at once: a pass in between would count from 0
            "update services set revision_id = $2, failed_starts = 4, rev = rev + 1 where id = $1", service, second
        )
        await eventually(lambda: gave_up(world, service))
    events = await world.pool.fetch("select message, details from events where action = 'replica.start-failed'")
    assert [(e["message"], e["details"]["revision"], e["details"]["in_a_row"]) for e in events] == [
        ("start 5 of 5 failed; no more are tried until you retry: the test says failed", 2, 5)
    ]
    (failed,) = await world.pool.fetch("select session_id from start_errors")
    assert events[0]["details"]["replica"] == str(failed["session_id"])


async def test_a_rollout_that_needs_its_own_gpus_gives_one_replica_up(world: ManagerWorld, monkeypatch: Any) -> None:
    monkeypatch.setattr("headrace.manager.domain.lifecycle.surplus.STUCK_AFTER", _NO_TIME)
    await world.manager()
    proxy = await world.proxy()
    async with (await world.agent(gpus=2)).alive():
        slots = {"cpu": "1", "mem": "1024", "cuda.device": "1"}
        service = await world.service("s", replicas=2, slots=slots, grace_s=0)
        await eventually(lambda: proxy.serving(service) == 2)
        first = RevisionId(await column(world, service, "revision_id"))
        second = await world.update(service, 2, slots=slots)

        async def rolled_out() -> bool:
            return await running(world, service, second) == 2 and await running(world, service, first) == 0

        await eventually(rolled_out)
        reasons = await world.pool.fetch("select reason_code from drain_receipts where service_id = $1", service)
        assert "made-room-for-update" in {row["reason_code"] for row in reasons}


async def test_a_rollout_that_may_give_none_up_waits(world: ManagerWorld, monkeypatch: Any) -> None:
    monkeypatch.setattr("headrace.manager.domain.lifecycle.surplus.STUCK_AFTER", _NO_TIME)
    loops = await world.manager()
    proxy = await world.proxy()
    async with (await world.agent(gpus=1)).alive():
        slots = {"cpu": "1", "mem": "1024", "cuda.device": "1"}
        service = await world.service("s", slots=slots)
        await eventually(lambda: proxy.serving(service) == 1)
        await world.set(service, rollout={"max_unavailable": 0})
        await world.update(service, 2, slots=slots)

        async def waits() -> bool:
            return await world.statuses(service) == ["pending", "running"] and await world.pool.fetchval(
                "select count(*) from sessions where service_id = $1 and status = 'pending' and reason_text like '%free%'",
                service,
            )

        await eventually(waits)
        passes = 0

        async def ten_passes() -> bool:
            nonlocal passes
            passes += 1
            loops.by_name["services"].poke()
            return passes > 10

        await eventually(ten_passes)
        assert await world.statuses(service) == ["pending", "running"]


async def test_a_trial_run_gets_its_verdict_and_ends(world: ManagerWorld) -> None:
    await world.manager()
    async with (await world.agent()).alive() as agent:
        resolved = ResolvedSpec.model_validate(
            {
                "runtime": "custom",
                "model_name": "m",
                "image": None,
                "architecture": None,
                "command": ["true"],
                "port": 8000,
                "model_path": "/models",
                "health_check": None,
                "slots": {"cpu": "1", "mem": "1024"},
            }
        )
        async with world.pool.acquire() as con:
            await sessions.create(
                con,
                session_id=SessionId(new_uuid()),
                kind="validation",
                project_id=world.project,
                service_id=None,
                revision_id=None,
                resolved=resolved,
                resource_group="default",
                created_by=world.user,
            )

        async def ended() -> bool:
            row = await world.pool.fetchrow("select status, reason_code from sessions")
            return tuple(row) == ("ended", "validation-passed")

        await eventually(ended)
        assert agent.kernels == {}
