"""What must not happen when a manager, the database or the bus was away, and in the gaps between reading and writing."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from nats.js.errors import ServerError

from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import publish_last
from headrace.common.bus.stored import stored_generations, stored_values
from headrace.common.contracts.ids import ProjectId, ServiceId, SessionId, new_uuid
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.contracts.reasons import Reason
from headrace.common.db.pool import transaction
from headrace.common.runtime.clock import utc_now
from headrace.manager.domain.lifecycle.replicas import Create, Retire
from headrace.manager.domain.placement.scheduler import Placement
from headrace.manager.domain.records.sessions import ObservedRevs
from headrace.manager.inbox import bus as bus_listener
from headrace.manager.loops.agents import AgentLiveness
from headrace.manager.loops.services import ServicesLoop
from headrace.manager.secret_keys import SecretKeys
from headrace.manager.store import sessions, tables
from tests.support.wait import eventually
from tests.support.worlds.manager import ManagerWorld


async def _live(world: ManagerWorld) -> list[UUID]:
    return [row["id"] for row in await world.pool.fetch("select id from sessions where status <> 'ended' order by id")]


async def test_a_manager_that_was_away_loses_no_machine(world: ManagerWorld) -> None:
    proxy = await world.proxy()
    async with (await world.agent()).alive() as agent:
        async with world.running_manager():
            service = await world.service("s", replicas=2)
            await eventually(lambda: proxy.serving(service) == 2)
        before, kernels = await _live(world), set(agent.kernels)
        await world.pool.execute("update agents set last_seen_at = now() - interval '1 hour'")
        seen = len(proxy.history)
        async with world.running_manager(lost_after_s=2) as loops:
            passes = loops.by_name["agents"]
            await eventually(lambda: passes.passes >= 8)
            await eventually(lambda: _heard_lately(world))
        assert await _live(world) == before
        assert set(agent.kernels) == kernels
        assert all(sum(r.state == "active" for r in table.routes) == 2 for table in proxy.history[seen:])


async def _heard_lately(world: ManagerWorld) -> bool:
    return bool(await world.pool.fetchval("select last_seen_at > now() - interval '2 seconds' from agents"))


async def test_reports_that_nobody_could_write_down_still_prove_presence(world: ManagerWorld, bus: Bus) -> None:
    """The database was away, or another manager of the group took the reports and hangs: the machine talks all the same."""
    now = 1000.0
    poked: list[str] = []
    agents = AgentLiveness(
        world.pool, bus, lambda *names: poked.extend(names), lost_after=timedelta(seconds=8), monotonic=lambda: now
    )
    await _insert_agent(world, "agent-1", "1 hour")
    await _insert_agent(world, "agent-2", "1 hour")
    talking = await world.agent("agent-1")
    async with agents.listening():
        await agents.one_pass()
        assert await _lost(world) == [], "it has only begun to listen"
        now += 7
        async with talking.alive():
            await eventually(lambda: agents._presence._heard)
            await agents.one_pass()
        assert await _lost(world) == []
        now += 2
        await agents.one_pass()
    assert await _lost(world) == ["agent-2"]
    assert "services" in poked
    assert "routes" in poked


async def test_reports_are_heard_while_the_streams_cannot_be_made(
    world: ManagerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a full disk, which JetStream refuses to write to: whoever talks is there, and scale requests are answered."""
    refusals = 0

    async def refuse(_: Bus, *, replicas: int) -> None:
        nonlocal refusals
        refusals += 1
        raise ServerError(code=500, description="insufficient storage resources available")

    for name in ("CHECK_STREAMS_S", "RETRY_S"):
        monkeypatch.setattr(bus_listener, name, 0.05)
    await world.manager()
    async with (await world.agent()).alive():
        monkeypatch.setattr(bus_listener, "ensure_streams", refuse)
        await eventually(lambda: refusals > 2)
        heard = "select coalesce(max(sequence), 0) from agents"
        before = await world.pool.fetchval(heard)

        async def hears_on() -> bool:
            return bool(await world.pool.fetchval(heard) >= before + 3)

        await eventually(hears_on)
        assert refusals > 3, "and the streams are tried again"


async def test_a_pass_without_the_bus_loses_nobody(world: ManagerWorld, bus: Bus) -> None:
    now = 1000.0
    agents = AgentLiveness(world.pool, bus, lambda *_: None, lost_after=timedelta(seconds=8), monotonic=lambda: now)
    await _insert_agent(world, "agent-1", "1 hour")
    await agents.one_pass()  # it does not listen yet
    now += 9
    await agents.one_pass()
    async with agents.listening():
        for _ in range(3):
            await agents.one_pass()
            now += 9  # this process was asleep
        assert await _lost(world) == []
        for _ in range(3):
            await agents.one_pass()
            now += 4
        assert await _lost(world) == ["agent-1"]


async def _insert_agent(world: ManagerWorld, agent_id: str, silent_for: str, *, cpu: str = "8") -> None:
    machine = {
        "hostname": agent_id,
        "architecture": "x86_64",
        "address": "127.0.0.1",
        "runtime": "process",
        "version": "0",
        "slots": {"cpu": cpu, "mem": "68719476736"},
        "gpus": [],
    }
    await world.pool.execute(
        "insert into agents (id, incarnation, sequence, machine, architecture, slots, last_seen_at) "
        "values ($1, '1', 1, $2, 'x86_64', $3, now() - $4::text::interval)",
        agent_id,
        machine,
        machine["slots"],
        silent_for,
    )


async def _lost(world: ManagerWorld) -> list[str]:
    return [row["id"] for row in await world.pool.fetch("select id from agents where lost_at is not null order by id")]


async def _running(world: ManagerWorld, service: UUID, agent_id: str) -> tuple[SessionId, UUID]:
    """Insert a running, healthy replica; return its session and kernel."""
    session, kernel = SessionId(new_uuid()), new_uuid()
    await world.pool.execute(
        "insert into sessions (id, kind, project_id, service_id, revision_id, resource_group, status, health, was_healthy) "
        "select $1, 'inference', project_id, id, revision_id, 'default', 'running', 'healthy', true from services where id = $2",
        session,
        service,
    )
    await world.pool.execute(
        "insert into kernels (id, session_id, agent_id, state, health, host, port) values ($1, $2, $3, 'running', 'healthy', '127.0.0.1', 9)",
        kernel,
        session,
        agent_id,
    )
    return session, kernel


async def test_a_session_that_drains_between_reading_and_marking_is_not_marked(world: ManagerWorld) -> None:
    await _insert_agent(world, "agent-1", "0 s")
    service = await world.service("s")
    _, kernel = await _running(world, service, "agent-1")
    async with transaction(world.pool) as con:
        table = (await tables.Routes().read(con, [str(service)]))[0].build()
        plan = (await tables.Plans(SecretKeys(bytes(32), ())).read(con, ["agent-1"]))[0].build()
    await world.pool.execute("update sessions set status = 'draining'")
    async with transaction(world.pool) as con:
        await tables.Routes().mark(con, [table.model_copy(update={"generation": 7})])
    assert await world.pool.fetchval("select drain_generation from sessions") is None, (
        "the table said that it is active"
    )
    async with transaction(world.pool) as con:
        table = (await tables.Routes().read(con, [str(service)]))[0].build()
        await tables.Routes().mark(con, [table.model_copy(update={"generation": 8})])
    assert await world.pool.fetchval("select drain_generation from sessions") == 8

    await world.pool.execute("update sessions set status = 'stopping'")
    async with transaction(world.pool) as con:
        await tables.Plans(SecretKeys(bytes(32), ())).mark(con, [plan.model_copy(update={"generation": 7})])
    assert await world.pool.fetchval("select left_generation from kernels") is None, "the plan had it"
    async with transaction(world.pool) as con:
        plan = (await tables.Plans(SecretKeys(bytes(32), ())).read(con, ["agent-1"]))[0].build()
        await tables.Plans(SecretKeys(bytes(32), ())).mark(con, [plan.model_copy(update={"generation": 8})])
    assert await world.pool.fetchval("select left_generation from kernels where id = $1", kernel) == 8


async def test_decisions_on_a_replica_set_that_changed_are_not_carried_out(world: ManagerWorld) -> None:
    await _insert_agent(world, "agent-1", "0 s")
    service = await world.service("s")
    session, _ = await _running(world, service, "agent-1")
    rev = await world.pool.fetchval("select rev from services where id = $1", service)
    other = await world.service("other")
    async with transaction(world.pool) as con:
        seen = {service: ObservedRevs(rev, {session: 1}), other: ObservedRevs(rev, {})}
        assert await sessions.unchanged(con, seen) == {service, other}
        assert await sessions.unchanged(con, {**seen, service: ObservedRevs(rev + 1, {session: 1})}) == {other}
        assert await sessions.unchanged(con, {**seen, service: ObservedRevs(rev, {session: 2})}) == {other}
        assert await sessions.unchanged(con, {**seen, service: ObservedRevs(rev, {})}) == {other}
        assert await sessions.unchanged(con, {**seen, ServiceId(new_uuid()): ObservedRevs(1, {})}) == {service, other}
        reason = Reason(code="c", text="t")
        assert await sessions.leave(con, Retire(session, "stopping", reason), 1)
        assert not await sessions.leave(con, Retire(session, "ended", reason), 1)


async def test_many_managers_start_each_replica_once(world: ManagerWorld) -> None:
    """Passes of several managers on one snapshot: without the fence each would start all."""
    service = await world.service("s", replicas=4)
    proxies = _NoProxies()
    passes = [
        ServicesLoop(world.pool, proxies, utc_now, lambda *_: None)  # type: ignore[arg-type]
        for _ in range(4)
    ]
    for _ in range(5):
        await asyncio.gather(*(each.one_pass() for each in passes))
    assert await world.pool.fetchval("select count(*) from sessions where service_id = $1", service) == 4


class _NoProxies:
    def released(self, *_: object) -> bool:
        return False


async def test_a_tombstone_waits_for_a_manager_however_long_it_is_away(world: ManagerWorld) -> None:
    proxy = await world.proxy()
    async with world.running_manager():
        service = await world.service("s", replicas=0)
        await eventually(lambda: service in proxy.tables)
    await world.pool.execute(
        "update services set goal = 'deleting', deleted_at = now() - interval '2 days', rev = rev + 1"
    )
    await world.pool.execute("update publications set published_at = now() - interval '3 days'")
    async with world.running_manager():
        await eventually(lambda: proxy.tables[service].removed)


async def test_removals_end_and_are_told_again_to_who_still_has_the_service(world: ManagerWorld, bus: Bus) -> None:
    proxy = await world.proxy()
    await world.manager()
    services = [await world.service(f"s{n}", replicas=0) for n in range(3)]
    await eventually(lambda: set(proxy.tables) == set(services))
    kept = {service: table for service, table in proxy.tables.items() if service == services[0]}
    await world.pool.execute("update services set goal = 'deleting', deleted_at = now(), rev = rev + 1")
    await eventually(lambda: all(table.removed for table in proxy.tables.values()))
    await world.pool.execute("update publications set published_at = now() - interval '1 day'")
    await world.pool.execute("update services set deleted_at = now() - interval '2 days'")
    proxy.tables.clear()  # what is removed is not reported

    async def ended() -> bool:
        return (
            await stored_generations(bus, RouteTable) == {}
            and await world.pool.fetchval("select count(*) from publications") == 0
        )

    await eventually(ended)
    proxy.tables = kept  # an app-proxy that was away comes back with a copy from its disk
    await eventually(lambda: proxy.tables[services[0]].removed)
    assert set(proxy.tables) == {services[0]}


async def test_a_deleted_service_that_the_bus_brings_back_is_removed_again(world: ManagerWorld, bus: Bus) -> None:
    """NATS that is killed after it was told to delete a subject's newest message finds the one before it again."""
    proxy = await world.proxy()
    await world.manager()
    service = await world.service("s", replicas=0)
    await eventually(lambda: service in proxy.tables)
    before = proxy.tables[service]
    await world.pool.execute("update services set goal = 'deleting', deleted_at = now(), rev = rev + 1")
    await eventually(lambda: proxy.tables[service].removed)
    await world.pool.execute("update publications set published_at = now() - interval '1 day'")
    await world.pool.execute("update services set deleted_at = now() - interval '2 days'")
    proxy.tables.clear()

    async def ended() -> bool:
        return await stored_generations(bus, RouteTable) == {}

    await eventually(ended)
    await eventually(lambda: world.pool.fetchval("select count(*) = 0 from publications"))
    await publish_last(bus, before)
    await eventually(lambda: service in proxy.tables)
    await eventually(lambda: proxy.tables[service].removed)


async def test_tables_of_services_that_are_not_known_any_more_are_removed(world: ManagerWorld, bus: Bus) -> None:
    """A bus that is restored from an old copy brings back what the database has forgotten; so does an app-proxy's disk."""
    proxy = await world.proxy()
    restored, on_disk = (
        RouteTable(service_id=ServiceId(new_uuid()), generation=7, name="old", project_id=ProjectId(new_uuid()))
        for _ in range(2)
    )
    rules = RuleTable(service_id=restored.service_id, generation=3, wanted=1)
    await publish_last(bus, restored)
    await publish_last(bus, rules)
    proxy.tables[on_disk.service_id] = on_disk
    await world.manager()
    living = await world.service("s", replicas=0)
    gone = [restored.service_id, on_disk.service_id]
    await eventually(lambda: all(one in proxy.tables and proxy.tables[one].removed for one in gone))

    async def generations() -> bool:
        routes, ruled = await stored_generations(bus, RouteTable), await stored_generations(bus, RuleTable)
        return routes[f"route.{restored.service_id}"] == 8 and ruled == {f"rules.{restored.service_id}": 4}

    await eventually(generations)
    await world.pool.execute("update publications set published_at = now() - interval '1 day'")

    async def ended() -> bool:
        left = {*await stored_generations(bus, RouteTable), *await stored_generations(bus, RuleTable)}
        return left == {f"route.{living}"}

    await eventually(ended)
    assert not proxy.tables[living].removed


async def test_a_kernel_that_somebody_removed_is_replaced(world: ManagerWorld) -> None:
    await world.manager()
    proxy = await world.proxy()
    async with (await world.agent()).alive() as agent:
        service = await world.service("s", replicas=2)
        await eventually(lambda: proxy.serving(service) == 2)
        gone = next(iter(agent.kernels))
        del agent.kernels[gone]
        agent.report_now()
        await eventually(lambda: gone not in agent.kernels and len(agent.kernels) == 2 and proxy.serving(service) == 2)
        reason = await world.pool.fetchval(
            "select x.reason_code from sessions x join kernels k on k.session_id = x.id where k.id = $1", gone
        )
        assert reason == "kernel-vanished"


async def test_replicas_of_a_deleted_service_on_a_lost_machine_do_not_hold_the_deletion(world: ManagerWorld) -> None:
    await world.manager(lost_after_s=1)
    async with (await world.agent()).alive() as agent:
        service = await world.service("s", replicas=2, grace_s=600)
        await eventually(lambda: world.statuses(service))
        await eventually(lambda: len(agent.kernels) == 2)
    await world.set(service, goal="deleting")

    async def gone() -> bool:
        return bool(await world.pool.fetchval("select deleted_at is not null from services where id = $1", service))

    await eventually(gone)
    held = await world.pool.fetchval("select count(*) from allocations where slot = 'cpu'")
    assert held == 2, "they may still run there"


async def test_a_machine_whose_plan_is_full_takes_no_more_and_says_so(world: ManagerWorld, bus: Bus) -> None:
    await world.manager()
    async with (await world.agent()).alive() as agent:
        environ = {f"V{number}": "x" * 30_000 for number in range(2)}
        one = await world.service("one", replicas=1, spec={"environ": environ})
        await eventually(lambda: len(agent.kernels) == 1)

        async def served() -> bool:
            return bool(
                await world.pool.fetchval("select served_revision_id is not null from services where id = $1", one)
            )

        await eventually(served)  # until then the plan is published once more, with its size
        await world.pool.execute("update publications set bytes = 5632000 - 1000 where subject = 'plan.agent.agent-1'")
        await world.pool.execute(
            "insert into revisions (id, service_id, number, spec, resolved, created_by) "
            "select $2, service_id, 2, spec, resolved, created_by from revisions where service_id = $1",
            one,
            new_uuid(),
        )
        await world.set(one, wanted=3)

        async def told() -> bool:
            texts = await world.pool.fetch("select reason_text from sessions where status = 'pending'")
            return len(texts) == 2 and all("KiB of its plan, 0 of 5500 KiB free" in row["reason_text"] for row in texts)

        await eventually(told)
        await world.pool.execute("update publications set bytes = 100000 where subject = 'plan.agent.agent-1'")
        await eventually(lambda: len(agent.kernels) == 3)
        plan = next(iter((await stored_values_of(bus)).values()))
        assert len(plan) < 70_000, "the spec is in the plan once"


async def stored_values_of(bus: Bus) -> dict[str, bytes]:
    return {value.subject: value.data async for page in stored_values(bus, "PLANS", "plan.agent.*") for value in page}


async def test_nothing_is_placed_on_a_machine_that_was_cordoned_since_it_was_read(world: ManagerWorld) -> None:
    await _insert_agent(world, "agent-1", "0 seconds")
    service = await world.service("s")
    async with transaction(world.pool) as con:
        (found,) = await sessions.services(con, [service])
        await sessions.create_many(con, [(found, Create(found.revision_id))])
        pending = await sessions.pending(con, 10)
    (request,) = pending.requests
    placement = Placement(request.id, "agent-1", {"cpu": Decimal(1)}, ())
    for cordoned in ("now()", "null"):
        await world.pool.execute(f"update agents set cordoned_at = {cordoned}")
        async with transaction(world.pool) as con:
            assert await sessions.place(con, [(placement, pending.facts[request.id][0])]) == (cordoned == "null")
