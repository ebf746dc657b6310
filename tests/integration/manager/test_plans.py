"""Plans of machines: their bytes, and what becomes of them when a machine is forgotten and comes back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from nats.js import JetStreamContext

from headrace.common.bus.connect import Bus
from headrace.common.bus.stored import stored_generations
from headrace.common.contracts.messages.plans import NodePlan
from headrace.common.db.pool import Pool
from headrace.manager.loops.publishing import PublishingLoop
from headrace.manager.store.tables import Plans
from tests.support import many_rows
from tests.support.wait import eventually


async def _stored(bus: Bus, machine: str) -> NodePlan:
    message = await JetStreamContext(bus.client).get_last_msg("PLANS", f"plan.agent.{machine}", direct=True)
    assert message.data is not None
    return NodePlan.decode(message.data)


def _publishing(pool: Pool, bus: Bus) -> PublishingLoop[NodePlan]:
    return PublishingLoop(pool, bus, NodePlan, Plans(), verify=timedelta(hours=1))


async def _return(pool: Pool, machine: str, applied: int) -> None:
    """Let a machine report for the first time, with a plan that it has on its disk."""
    await pool.execute(
        "insert into agents (id, incarnation, sequence, machine, architecture, slots, applied_generation) "
        "values ($1, '9', 1, '{}', 'x86_64', '{\"cpu\": \"64\"}', $2)",
        machine,
        applied,
    )


async def test_the_plan_of_a_forgotten_machine_ends_and_one_that_comes_back_goes_on_above_what_it_has(
    pool: Pool, bus: Bus
) -> None:
    await many_rows.machines(pool, 3)
    publishing = _publishing(pool, bus)
    await publishing.one_pass()
    await pool.execute("update publications set published_at = now() - interval '31 days'")
    await pool.execute("delete from agents where id in ('m-1', 'm-2')")
    publishing.verify_soon()
    await publishing.one_pass()
    assert await stored_generations(bus, NodePlan) == {"plan.agent.m-3": 1}
    assert [row["subject"] for row in await pool.fetch("select subject from publications")] == ["plan.agent.m-3"]

    await _return(pool, "m-1", applied=57)
    await _return(pool, "m-2", applied=2**63 - 1)
    for manager in (publishing, _publishing(pool, bus)):
        await manager.one_pass()
        assert (await _stored(bus, "m-1")).generation == 58
        assert (await _stored(bus, "m-2")).generation == 2**62 + 1, "whatever a machine says, it costs nobody else"


@pytest.mark.parametrize("runs", [True, False])
async def test_a_machine_that_comes_back_while_its_plan_is_being_forgotten_has_one(
    pool: Pool, bus: Bus, *, runs: bool
) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.machines(pool, 1)
    publishing, other = _publishing(pool, bus), _publishing(pool, bus)
    await publishing.one_pass()
    await pool.execute("update publications set published_at = now() - interval '31 days'")
    await pool.execute("delete from agents")
    remove = publishing._stream.remove

    async def comes_back(subject: str) -> None:
        await _return(pool, "m-1", applied=1)
        if runs:
            await many_rows.services(pool, whose, 1)
            await many_rows.sessions(pool, whose, machines=1)
        await other.one_pass()
        await remove(subject)

    publishing._stream.remove = comes_back  # type: ignore[method-assign]
    publishing.verify_soon()
    await publishing.one_pass()
    publishing._stream.remove = remove  # type: ignore[method-assign]
    if not runs:  # what it has on its disk is what it is to do, so nobody published it: the slow look does

        async def found() -> bool:
            await publishing.one_pass()
            return bool(await stored_generations(bus, NodePlan))

        await eventually(found)
    plan = await _stored(bus, "m-1")
    assert (plan.generation, len(plan.kernels)) == (2, int(runs))
    assert await pool.fetchval("select generation from publications") == 2


async def test_a_plan_of_which_the_specs_were_encoded_before_has_the_bytes_of_one_encoded_whole(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 6)
    await many_rows.machines(pool, 2)
    await many_rows.sessions(pool, whose, each=2, machines=2)
    await pool.execute(
        "update sessions set kind = 'validation', resolved = (select resolved from revisions r where r.id = revision_id), "
        "service_id = null, revision_id = null where id in (select id from sessions limit 3)"
    )
    source = Plans()
    for _ in range(2):  # the second time every spec is known
        async with pool.acquire() as con:
            drafts: list[Any] = await source.read(con, ["m-1", "m-2"])
        plans = [(draft, draft.build()) for draft in drafts]
        assert sum(len(plan.kernels) for _, plan in plans) == 12
        assert sum(kernel.kind == "validation" for _, plan in plans for kernel in plan.kernels) == 3
        for draft, plan in plans:
            assert draft.encode(plan) == plan.encode()
