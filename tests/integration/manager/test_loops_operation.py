"""What becomes of replicas in operation: they end, rollouts fail or find no room. Over real PostgreSQL and NATS."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from headrace.common.contracts.ids import RevisionId, ServiceId, SessionId, new_uuid
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.manager.domain.variants.resolved_spec import ResolvedSpec
from headrace.manager.store import sessions
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
        await world.set(service, revision_id=second, failed_starts=4)
        await eventually(lambda: gave_up(world, service))
        crashed = set(agent.kernels)
        ends = dict.fromkeys(crashed, "exited")
        agent.ends.update(ends)
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
            ("headrace", "revision 2 did not start; revision 1 is the current one again")
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

            async def counted(times: int = round_) -> bool:
                return bool(await column(world, service, "ends") == times)

            await eventually(counted)
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


async def test_a_rollout_that_needs_its_own_gpus_gives_one_replica_up(world: ManagerWorld, monkeypatch: Any) -> None:
    monkeypatch.setattr("headrace.manager.domain.lifecycle.replicas.STUCK_AFTER", _NO_TIME)
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
    monkeypatch.setattr("headrace.manager.domain.lifecycle.replicas.STUCK_AFTER", _NO_TIME)
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
