"""Benchmark of plan publication: plans per second with generations from a real PostgreSQL, acknowledged by a real NATS.

A fleet of 2,500 machines with 8 kernels each, of 500 services with complete specs. Measured are the first publication
of all plans, three rounds in which 500 machines' plans change, one single change, and a pass without changes. Results
go to build/bench-plans.json: medians, and the lowest and highest round. Fails when a target is missed: 1,000 plans/s,
one plan and a pass without changes within 100 ms each.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median

import structlog
import uvloop

from benchmarks.judged import Case, judge
from headrace.common.bus.connect import Bus, open_bus
from headrace.common.bus.stored import stored_generations
from headrace.common.bus.streams import ensure_streams
from headrace.common.contracts.ids import new_uuid
from headrace.common.contracts.messages.plans import NodePlan
from headrace.common.db.migrate import migrate
from headrace.common.db.pool import Pool, open_pool
from headrace.embedded.stack import EmbeddedServers
from headrace.manager.loops.publishing import PublishingLoop
from headrace.manager.secret_keys import SecretKeys
from headrace.manager.store.tables import Plans

MACHINES, KERNELS, SERVICES = 2_500, 8, 500
ROUNDS, CHANGED, SINGLES = 3, 500, 21
TARGET_PER_S, TARGET_ONE_S, TARGET_IDLE_S = 1_000, 0.1, 0.1
SPEC = {
    "runtime": "custom",
    "model_name": "m",
    "image": "registry.example/engine:1",
    "architecture": "x86_64",
    "command": ["serve", "--model", "/models", "--max-model-len", "8192"],
    "port": 8000,
    "model_path": "/models",
    "health_check": {"path": "/health"},
    "slots": {"cpu": "4", "mem": "17179869184", "cuda.device": "1"},
    "environ": {f"VARIABLE_{number}": "x" * 40 for number in range(20)},
}


async def fill(pool: Pool) -> None:
    """Insert machines, services and running sessions."""
    user, project = new_uuid(), new_uuid()
    services = [(new_uuid(), new_uuid(), f"s{number}") for number in range(SERVICES)]
    sessions, kernels = [], []
    for number in range(MACHINES * KERNELS):
        service, revision, _ = services[number % SERVICES]
        session = new_uuid()
        sessions.append((session, "inference", project, service, revision, "default", "running"))
        kernels.append((new_uuid(), session, f"m{number // KERNELS:05}"))
    async with pool.acquire() as con, con.transaction():
        await con.execute("insert into users (id, name) values ($1, 'bench')", user)
        await con.execute("insert into projects (id, name) values ($1, 'bench')", project)
        await con.executemany(
            "insert into services (id, project_id, name, wanted, resource_group, revision_id, drain_grace_s, created_by) "
            "values ($1, $4, $3, 80, 'default', $2, 5, $5)",
            [(*service, project, user) for service in services],
        )
        await con.executemany(
            "insert into revisions (id, service_id, number, spec, resolved, created_by) values ($1, $2, 1, '{}', $3, $4)",
            [(revision, service, SPEC, user) for service, revision, _ in services],
        )
        await con.executemany(
            "insert into agents (id, incarnation, sequence, machine, architecture, slots) values ($1, '1', 1, '{}', 'x86_64', '{}')",
            [(f"m{number:05}",) for number in range(MACHINES)],
        )
        # COPY, so that each trigger runs once
        await con.copy_records_to_table(
            "sessions",
            records=sessions,
            columns=["id", "kind", "project_id", "service_id", "revision_id", "resource_group", "status"],
        )
        await con.copy_records_to_table("kernels", records=kernels, columns=["id", "session_id", "agent_id"])
        held = [
            (kernel, agent, "cuda.shares", f"gpu-{number % KERNELS}", Decimal(1))
            for number, (kernel, _, agent) in enumerate(kernels)
        ]
        columns = ["kernel_id", "agent_id", "slot", "device", "amount"]
        await con.copy_records_to_table("allocations", records=held, columns=columns)
    await pool.execute("analyze")


async def timed(work: Callable[[], Awaitable[None]]) -> float:
    """Return the duration in seconds."""
    started = time.perf_counter()
    await work()
    return time.perf_counter() - started


async def measure(pool: Pool, bus: Bus) -> dict[str, float]:
    """Publish all plans, then changed ones, then one, then none."""
    publishing = PublishingLoop(pool, bus, NodePlan, Plans(SecretKeys(bytes(32), ())), verify=timedelta(hours=1))
    found = {"first": MACHINES / await timed(publishing.one_pass)}
    rounds = []
    for number in range(ROUNDS):
        agents = [f"m{(number * CHANGED + at) % MACHINES:05}" for at in range(CHANGED)]
        await pool.execute(
            "update sessions set status = 'stopping' where id in "
            "(select distinct on (k.agent_id) k.session_id from kernels k join sessions x on x.id = k.session_id "
            "where k.agent_id = any($1) and x.status = 'running' order by k.agent_id)",
            agents,
        )
        rounds.append(CHANGED / await timed(publishing.one_pass))
    found |= {"changed": median(rounds), "changed_lowest": min(rounds), "changed_highest": max(rounds)}
    one, idle = [], []
    for number in range(SINGLES):
        await pool.execute(
            "update sessions set status = 'stopping' where id = "
            "(select session_id from kernels k join sessions x on x.id = k.session_id where agent_id = $1 and x.status = 'running' limit 1)",
            f"m{number:05}",
        )
        one.append(await timed(publishing.one_pass))
        idle.append(await timed(publishing.one_pass))
    held = await stored_generations(bus, NodePlan)
    published = MACHINES + ROUNDS * CHANGED + SINGLES
    if len(held) != MACHINES or sum(held.values()) != published:
        raise SystemExit(
            f"the stream holds {len(held)} plans of {MACHINES}, in {sum(held.values())} generations of {published}"
        )
    return found | {
        "one_s": median(one),
        "one_highest_s": max(one),
        "idle_s": median(idle),
        "idle_highest_s": max(idle),
        "load_average": os.getloadavg()[0],
    }


async def run(folder: Path) -> dict[str, float]:
    """Run on separate servers."""
    async with EmbeddedServers(folder, only={"postgres", "nats"}) as servers:
        await migrate(servers.database_url)
        user, password = servers.nats_user("manager")
        async with (
            open_pool(servers.database_url, size=8, statement_timeout_s=120) as pool,
            open_bus(servers.nats_url, user=user, password=password, name="bench") as bus,
        ):
            await ensure_streams(bus)
            await fill(pool)
            return await measure(pool, bus)


def show(found: dict[str, float]) -> bool:
    """Print the results; return whether all targets are met."""
    print(
        f"plans of {MACHINES:,} machines × {KERNELS} kernels, committed to PostgreSQL and acknowledged by NATS "
        f"(load average {found['load_average']:.1f}):"
    )
    spread = f"{found['changed_lowest']:,.0f} to {found['changed_highest']:,.0f}"
    return judge(
        [
            Case("all of them at the start", found["first"], "at least", TARGET_PER_S, "/s"),
            Case(
                f"{CHANGED:,} that changed, {ROUNDS} rounds", found["changed"], "at least", TARGET_PER_S, "/s", spread
            ),
            Case(
                "one that changed",
                found["one_s"] * 1000,
                "at most",
                TARGET_ONE_S * 1000,
                " ms",
                f"at most {found['one_highest_s'] * 1000:.1f}",
            ),
            Case(
                "a pass without news",
                found["idle_s"] * 1000,
                "at most",
                TARGET_IDLE_S * 1000,
                " ms",
                f"at most {found['idle_highest_s'] * 1000:.1f}",
            ),
        ]
    )


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with tempfile.TemporaryDirectory() as temporary:
        results = uvloop.run(run(Path(temporary) / "data"))
    target = Path("build") / "bench-plans.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=2) + "\n")
    sys.exit(0 if show(results) else 1)
