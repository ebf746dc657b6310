"""What machines report is written once, together, and only if it is not stale."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from headrace.common.contracts.ids import AgentId
from headrace.common.contracts.messages.reports import Gpu, KernelReport, Machine, NodeReport
from headrace.common.contracts.reasons import Reason
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import utc_now
from headrace.manager.inbox.reports import REPEAT_AFTER_S, NodeReports
from tests.support import many_rows
from tests.support.wait import eventually


def at(name: str) -> str:
    return f"{name}.lan"


def machine(name: str, *, used: int = 0) -> Machine:
    gpu = Gpu(gpu_id=f"{name}-gpu", index=0, model="simulated", memory_bytes=100, memory_used_bytes=used)
    return Machine(
        hostname=name,
        architecture="x86_64",
        address=at(name),
        runtime="process",
        version="0",
        slots={"cpu": "64", "mem": "64g", "cuda.device": 1},
        gpus=(gpu,),
    )


def report(
    name: str,
    sequence: int,
    taken_at: datetime,
    kernels: Sequence[KernelReport] = (),
    *,
    used: int = 0,
    incarnation: str = "1",
) -> NodeReport:
    return NodeReport(
        agent_id=AgentId(name),
        incarnation=incarnation,
        sequence=sequence,
        sent_at=taken_at,
        applied_generation=1,
        machine=machine(name, used=used),
        kernels=tuple(kernels),
    )


async def shown_kernels(pool: Pool, **changes: Any) -> dict[str, list[KernelReport]]:
    found: dict[str, list[KernelReport]] = {}
    for row in await pool.fetch(
        "select k.id, k.session_id, k.agent_id, x.service_id from kernels k join sessions x on x.id = k.session_id"
    ):
        facts = {
            "kernel_id": row["id"],
            "session_id": row["session_id"],
            "service_id": row["service_id"],
            "state": "running",
            "health": "healthy",
            "reason": Reason(code="healthy", text=""),
            "host": at(row["agent_id"]),
            "port": 20000,
        }
        found.setdefault(row["agent_id"], []).append(KernelReport(**{**facts, **changes}))
    return found


async def revs(pool: Pool) -> tuple[int, int]:
    return await pool.fetchval("select sum(rev) from kernels"), await pool.fetchval("select sum(rev) from sessions")


async def test_unchanged_reports_of_many_machines_renew_when_they_were_heard_and_write_nothing_else(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 40)
    await many_rows.machines(pool, 20)
    await many_rows.sessions(pool, whose, machines=20)
    shown = await shown_kernels(pool)
    poked: list[str] = []
    nodes = NodeReports(pool, lambda *names: poked.extend(names))
    taken = utc_now()
    await nodes.heard([report(name, 5, taken, kernels) for name, kernels in shown.items()])
    before, poked[:] = await revs(pool), []
    written = await pool.fetch("select id, kernels from agents order by id")
    versions = await pool.fetch("select ctid from kernels order by id")
    await nodes.heard(
        [report(name, 6, taken + timedelta(seconds=2), kernels, used=6) for name, kernels in shown.items()]
    )
    assert poked == []
    assert await revs(pool) == before
    assert await pool.fetch("select id, kernels from agents order by id") == written
    assert await pool.fetch("select ctid from kernels order by id") == versions
    assert await pool.fetchval("select min(sequence) from agents") == 6


async def test_who_waits_for_one_machines_row_holds_no_other(pool: Pool) -> None:
    """Managers that take turns with the reports of the same machines would wait for each other otherwise."""
    nodes = NodeReports(pool, lambda *_: None)
    taken = utc_now()
    await nodes.heard([report("a", 5, taken), report("b", 5, taken)])
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    async with pool.acquire() as con, con.transaction():
        await con.execute("select 1 from agents where id = 'b' for update")
        both = asyncio.create_task(nodes.heard([report("a", 6, taken), report("b", 1, taken, incarnation="2")]))
        await eventually(lambda: pool.fetchval(waiting))
        await con.execute("select 1 from agents where id = 'a' for update nowait")
    await both
    found = {row["id"]: row["sequence"] for row in await pool.fetch("select id, sequence from agents")}
    assert found == {"a": 6, "b": 1}


async def test_figures_of_gpus_are_written_again_after_a_while(pool: Pool) -> None:
    now = 0.0
    nodes = NodeReports(pool, lambda *_: None, monotonic=lambda: now)
    taken = utc_now()
    for sequence, used in ((5, 1), (6, 2)):
        await nodes.heard([report("a", sequence, taken, used=used)])
        assert await pool.fetchval("select machine -> 'gpus' -> 0 ->> 'memory_used_bytes' from agents") == "1"
    now += REPEAT_AFTER_S
    await nodes.heard([report("a", 7, taken, used=3)])
    assert await pool.fetchval("select machine -> 'gpus' -> 0 ->> 'memory_used_bytes' from agents") == "3"


async def test_what_another_manager_wrote_in_between_is_written_over(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 1)
    await many_rows.machines(pool, 1)
    await many_rows.sessions(pool, whose, machines=1)
    healthy, ill = await shown_kernels(pool), await shown_kernels(pool, health="unhealthy")
    one, other = NodeReports(pool, lambda *_: None), NodeReports(pool, lambda *_: None)
    taken = utc_now()
    await one.heard([report("m-1", 5, taken, healthy["m-1"])])
    await other.heard([report("m-1", 6, taken, ill["m-1"])])
    assert await pool.fetchval("select health from sessions") == "unhealthy"
    await one.heard([report("m-1", 7, taken, healthy["m-1"])])
    assert await pool.fetchval("select health from sessions") == "healthy"


async def test_a_report_that_was_long_on_its_way_does_not_make_a_lost_machine_alive(pool: Pool) -> None:
    nodes = NodeReports(pool, lambda *_: None, lost_after=timedelta(seconds=8))
    taken = utc_now() - timedelta(hours=5)  # its clock is its own
    await nodes.heard([report("a", 5, taken)])
    await pool.execute(
        "update agents set lost_at = now(), received_at = now() - interval '60 s', last_seen_at = now() - interval '60 s'"
    )
    await nodes.heard([report("a", 6, taken + timedelta(seconds=2))])
    assert await pool.fetchval("select lost_at is not null and last_seen_at < now() - interval '50 s' from agents")
    await nodes.heard([report("a", 6, taken + timedelta(seconds=2))])
    assert await pool.fetchval("select lost_at is not null from agents"), "twice is no proof either"
    await nodes.heard([report("a", 7, taken + timedelta(seconds=4))])
    assert await pool.fetchval("select lost_at is null from agents"), "one that follows it in time is"


async def test_a_machine_whose_clock_was_set_back_or_that_starts_anew_is_alive(pool: Pool) -> None:
    nodes = NodeReports(pool, lambda *_: None, lost_after=timedelta(seconds=8))
    taken = utc_now()
    away = "update agents set lost_at = now(), received_at = now() - interval '60 s', last_seen_at = now() - interval '60 s'"
    await nodes.heard([report("a", 5, taken)])
    await pool.execute(away)
    await nodes.heard([report("a", 6, taken - timedelta(days=1))])
    assert await pool.fetchval("select lost_at is null from agents")
    await pool.execute(away)
    await nodes.heard([report("a", 1, taken - timedelta(hours=23), incarnation="2")])
    assert await pool.fetchval("select lost_at is null from agents")


async def test_a_report_that_the_database_refuses_costs_itself(pool: Pool) -> None:
    nodes = NodeReports(pool, lambda *_: None)
    taken = utc_now()
    bad = report("a", 5, taken).model_copy(update={"sequence": 2**70})
    await nodes.heard([report("b", 5, taken), bad, report("c", 5, taken)])
    assert [row["id"] for row in await pool.fetch("select id from agents order by id")] == ["b", "c"]
