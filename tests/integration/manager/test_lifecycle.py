"""SQL and the domain agree on what the states of sessions mean, and the table of transitions is kept to."""

from __future__ import annotations

from itertools import product

import asyncpg
import pytest

from headrace.common.contracts.ids import new_uuid
from headrace.common.contracts.vocabulary import HealthStatus, KernelState
from headrace.common.db.pool import Pool
from headrace.manager.domain.lifecycle import states
from tests.support.many_rows import Owner, machines, owner, services

KERNELS: tuple[KernelState | None, ...] = (None, "preparing", "running", "exited", "failed")
HEALTH: tuple[HealthStatus, ...] = ("degraded", "healthy", "unhealthy")
MACHINES = ("m-1", "m-2", None)
"""One that is heard, one that is lost, none."""


@pytest.fixture
async def whose(pool: Pool) -> Owner:
    """Whose rows they are, with a service and two machines of which one is lost."""
    made = await owner(pool)
    await services(pool, made, 1)
    await machines(pool, 2)
    await pool.execute("update agents set lost_at = now() where id = 'm-2'")
    return made


async def insert(pool: Pool, whose: Owner, status: str, kernel: str | None, health: str, machine: str | None) -> object:
    """Make a session with its main kernel, whatever the combination."""
    session = new_uuid()
    async with pool.acquire() as con:
        await con.execute(
            "insert into sessions (id, kind, project_id, service_id, revision_id, resource_group, status, health, created_by, ended_at) "
            "select $1, 'inference', $2, id, revision_id, 'default', $3, $4, $5, case when $3 = 'ended' then now() end from services",
            session,
            whose.project,
            status,
            health,
            whose.user,
        )
        await con.execute(
            "insert into kernels (id, session_id, agent_id, state, health, ended_at) "
            "values ($1, $2, $3, $4, $5, case when $6 = 'ended' then now() end)",
            new_uuid(),
            session,
            machine,
            kernel,
            health,
            status,
        )
    return session


async def test_views_hold_what_the_predicates_say_for_sessions_of_every_kind(pool: Pool, whose: Owner) -> None:
    rows = {await insert(pool, whose, *row): row for row in product(states.STATES, KERNELS, HEALTH, MACHINES)}
    expected = {
        "live_sessions": {i for i, (status, *_) in rows.items() if states.live(status)},
        "active_sessions": {i for i, (status, *_) in rows.items() if status in states.ACTIVE},
        "planned_sessions": {i for i, (status, *_) in rows.items() if status in states.PLANNED},
        "serving_sessions": {
            i
            for i, (status, kernel, health, machine) in rows.items()
            if machine is not None and states.serving(status, kernel, health, lost=machine == "m-2")
        },
    }
    for view, ids in expected.items():
        assert {row["id"] for row in await pool.fetch(f"select id from {view}")} == ids, view
        assert ids


async def test_views_have_every_column_of_sessions(pool: Pool) -> None:
    columns = "select column_name from information_schema.columns where table_name = $1 and table_schema = 'public'"
    wanted = {row["column_name"] for row in await pool.fetch(columns, "sessions")}
    for view in ("live_sessions", "active_sessions", "planned_sessions", "serving_sessions"):
        assert {row["column_name"] for row in await pool.fetch(columns, view)} == wanted, view


async def test_the_tests_databases_refuse_a_transition_that_the_table_does_not_have(pool: Pool, whose: Owner) -> None:
    for before, after in product(states.STATES, states.STATES):
        session = await insert(pool, whose, before, "running", "healthy", "m-1")
        move = pool.execute("update sessions set status = $2, ended_at = now() where id = $1", session, after)
        if before == after or after in states.TRANSITIONS[before]:
            await move
        else:
            with pytest.raises(asyncpg.RaiseError, match=f"no transition of a session from {before} to {after}"):
                await move
