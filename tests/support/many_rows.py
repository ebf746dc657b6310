"""Factories of rows by the thousand, as after years of use: services, machines, sessions, events."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from headrace.common.contracts.ids import new_uuid
from headrace.common.db.pool import Pool

_RESOLVED = (
    '{"runtime": "custom", "model_name": "m", "image": null, "architecture": null, "command": ["true"], "port": 8000, '
    '"model_path": "/models", "health_check": null, "slots": {"cpu": "1", "mem": "1024"}}'
)


@dataclass(frozen=True)
class Owner:
    """User and project of the rows."""

    user: UUID
    project: UUID


async def owner(pool: Pool) -> Owner:
    """Insert a user and a project."""
    made = Owner(new_uuid(), new_uuid())
    await pool.execute("insert into users (id, name, operator) values ($1, 'someone', true)", made.user)
    await pool.execute("insert into projects (id, name) values ($1, 'p')", made.project)
    return made


async def services(
    pool: Pool, whose: Owner, count: int, *, prefix: str = "s", wanted: int = 1, deleted_days_ago: int | None = None
) -> None:
    """Insert services `<prefix>-1` … with one revision each."""
    async with pool.acquire() as con, con.transaction():
        await con.execute(
            "create temp table fresh on commit drop as "
            "select n, gen_random_uuid() as id, gen_random_uuid() as revision from generate_series(1, $1::integer) n",
            count,
        )
        await con.execute(
            "insert into services (id, project_id, name, wanted, goal, resource_group, revision_id, drain_grace_s, created_by, deleted_at) "
            "select id, $1, $3 || '-' || n, $4, case when $5::integer is null then 'running' else 'deleting' end, 'default', revision, 5, $2, "
            "now() - $5 * interval '1 day' from fresh",
            whose.project,
            whose.user,
            prefix,
            wanted,
            deleted_days_ago,
        )
        await con.execute(
            "insert into revisions (id, service_id, number, spec, resolved, created_by) "
            f"select revision, id, 1, '{{}}', '{_RESOLVED}', $1 from fresh",
            whose.user,
        )


async def machines(pool: Pool, count: int) -> None:
    """Insert machines `m-1` … with a recent report and 64 CPUs each."""
    await pool.execute(
        "insert into agents (id, incarnation, sequence, machine, architecture, slots) "
        'select \'m-\' || n, \'1\', 1, \'{"hostname": "m", "architecture": "x86_64", "address": "127.0.0.1", "runtime": "process", '
        '"version": "0", "slots": {"cpu": "64", "mem": "1000000000000"}}\', \'x86_64\', \'{"cpu": "64", "mem": "1000000000000"}\' '
        "from generate_series(1, $1::integer) n",
        count,
    )


async def sessions(
    pool: Pool, whose: Owner, *, each: int = 1, machines: int = 0, ended_days_ago: int | None = None
) -> None:
    """Insert `each` sessions per live service, serving on these machines or ended so long ago."""
    async with pool.acquire() as con, con.transaction():
        await con.execute(
            "create temp table fresh on commit drop as "
            "select gen_random_uuid() as id, gen_random_uuid() as kernel, s.id as service, s.revision_id as revision, "
            "       case when $2 > 0 then 'm-' || (1 + (row_number() over ()) % $2) end as machine "
            "from services s, generate_series(1, $1::integer) n where s.deleted_at is null",
            each,
            machines,
        )
        await con.execute(
            "insert into sessions (id, kind, project_id, service_id, revision_id, resource_group, status, health, was_healthy, ended_at) "
            "select id, 'inference', $1, service, revision, 'default', case when $2::integer is null then 'running' else 'ended' end, 'healthy', "
            "true, now() - $2 * interval '1 day' from fresh",
            whose.project,
            ended_days_ago,
        )
        await con.execute(
            "insert into kernels (id, session_id, agent_id, state, health, host, port, ended_at) "
            "select kernel, id, machine, 'running', 'healthy', '127.0.0.1', 20000, now() - $1::integer * interval '1 day' from fresh",
            ended_days_ago,
        )
        if ended_days_ago is None and machines:
            await con.execute(
                "insert into allocations (kernel_id, agent_id, slot, amount) select kernel, machine, 'cpu', 1 from fresh"
            )
            await con.execute(
                "update services s set served_revision_id = s.revision_id from fresh where s.id = fresh.service"
            )


async def events(pool: Pool, whose: Owner, count: int, *, days_ago: int = 0) -> None:
    """Insert events, spread over the live services."""
    await pool.execute(
        "with living as (select array_agg(id) as ids from services where deleted_at is null) "
        "insert into events (id, at, actor, project_id, service_id, action) "
        "select gen_random_uuid(), now() - $3::integer * interval '1 day', 'someone', $1, "
        "       ids[1 + n % greatest(1, coalesce(cardinality(ids), 1))], 'service.updated' "
        "from living, generate_series(1, $2::integer) n",
        whose.project,
        count,
        days_ago,
    )
