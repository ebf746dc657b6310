"""A machine that comes back after it was lost or removed: what it must not run is never counted, reached or kept."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.session import SessionReason
from headrace.common.db.pool import transaction
from headrace.manager.store import agent_drains, agents
from tests.integration.fleet.conftest import Fleet, Machine, Replica
from tests.support.wait import eventually

Absence = Callable[[Machine], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def paused(machine: Machine) -> AsyncIterator[None]:
    """The agent's process is stopped, with its connection open; what it started goes on."""
    machine.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        machine.signal(signal.SIGCONT)


@asynccontextmanager
async def cut_off(machine: Machine) -> AsyncIterator[None]:
    """The agent does not reach the bus."""
    await machine.link.cut()
    try:
        yield
    finally:
        await machine.link.mend()


async def _replaced(fleet: Fleet, service: ServiceId, old: Replica) -> Replica:
    """Wait until another replica serves alone, and return it."""

    async def moved() -> Replica | None:
        table = fleet.proxy.tables[service]
        if [route.session_id for route in table.routes] == [old.session_id] or fleet.proxy.serving(service) != 1:
            return None
        ended = await fleet.pool.fetchval("select status = 'ended' from sessions where id = $1", old.session_id)
        return await fleet.replica(service) if ended and len(table.routes) == 1 else None

    new: Replica | None = await eventually(moved, within_s=90)
    assert new is not None
    return new


async def _held(fleet: Fleet) -> dict[str, int]:
    """Return how many kernels hold the GPU of each machine."""
    rows = await fleet.pool.fetch(
        "select agent_id, count(*) as kernels from allocations where slot = 'cuda.device' group by agent_id"
    )
    return {row["agent_id"]: row["kernels"] for row in rows}


@pytest.mark.parametrize("absence", [paused, cut_off])
async def test_a_machine_that_comes_back_stops_what_was_replaced_and_nobody_counts_it(
    fleet: Fleet, absence: Absence
) -> None:
    service = await fleet.service("chat")
    old = await fleet.replica(service)
    machine = fleet.machines[old.agent_id]
    async with absence(machine):
        new = await _replaced(fleet, service, old)
        assert new.agent_id != old.agent_id
        assert await old.answers(), "only its agent is away"
        assert await _held(fleet) == {old.agent_id: 1, new.agent_id: 1}, "it may still run there"

        async def left_the_plan() -> bool:
            query = "select left_generation is not null from kernels where id = $1"
            return bool(await fleet.pool.fetchval(query, old.kernel_id))

        await eventually(left_the_plan)
        before = dict(await fleet.pool.fetchrow("select * from kernels where id = $1", old.kernel_id))
        tables, reports = len(fleet.proxy.history), len(machine.reports)

    async def gone() -> bool:
        return not await old.answers()

    await eventually(gone)

    async def freed() -> bool:
        return await _held(fleet) == {new.agent_id: 1}

    await eventually(freed)
    await eventually(lambda: machine.reports[-1].kernels == ())
    told = [k for r in machine.reports[reports:] for k in r.kernels if k.kernel_id == old.kernel_id]
    assert [k for k in told if k.health == "healthy" or k.host is not None] == []
    assert dict(await fleet.pool.fetchrow("select * from kernels where id = $1", old.kernel_id)) == before
    sessions = [route.session_id for table in fleet.proxy.history[tables:] for route in table.routes]
    assert old.session_id not in sessions
    assert (await fleet.replica(service)) == new

    await fleet.world.set(service, wanted=2)  # and the machine is of use again
    await fleet.serves(service, 2)
    assert await _held(fleet) == {old.agent_id: 1, new.agent_id: 1}


async def test_a_machine_that_was_removed_while_it_was_away_stops_all_and_is_refused_until_it_is_admitted(
    fleet: Fleet,
) -> None:
    service = await fleet.service("chat")
    old = await fleet.replica(service)
    machine = fleet.machines[old.agent_id]
    async with paused(machine):

        async def lost() -> bool:
            return bool(await fleet.pool.fetchval("select lost_at is not null from agents where id = $1", machine.id))

        await eventually(lost)
        async with transaction(fleet.pool) as con:
            await agents.lock(con, machine.id)
            await agents.end_sessions(con, machine.id, Reason.of(SessionReason.AGENT_REMOVED, "removed"))
            await agent_drains.stop(con, machine.id, "removed")
            await agents.remove(con, machine.id, "ada", "the rack burns")
        new = await _replaced(fleet, service, old)
        assert await _held(fleet) == {new.agent_id: 1}
        tables, reports = len(fleet.proxy.history), len(machine.reports)

    async def gone() -> bool:
        return not await old.answers()

    await eventually(gone)
    await eventually(lambda: machine.told("machine_removed", "ada removed it", "the rack burns"))
    await eventually(lambda: len(machine.reports) > reports + 2)
    told = [k for r in machine.reports[reports:] for k in r.kernels]
    assert [k for k in told if k.health == "healthy" or k.host is not None] == []
    assert await fleet.pool.fetchval("select count(*) from agents where id = $1", machine.id) == 0

    async def refused() -> bool:
        return bool(await fleet.pool.fetchval("select refused_at is not null from removed_agents"))

    await eventually(refused)
    assert old.session_id not in [r.session_id for table in fleet.proxy.history[tables:] for r in table.routes]

    async with transaction(fleet.pool) as con:
        assert await agents.admit(con, machine.id)
    await fleet.world.set(service, wanted=2)
    await fleet.serves(service, 2)
