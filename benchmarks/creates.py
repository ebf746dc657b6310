"""Benchmark of service creation over HTTP: creates per second of a real manager with a real PostgreSQL and NATS.

A create counts when it is answered; meanwhile the manager's loops create its session, place it and publish its plan and
its route table, and up to 100 machines report every 2 s. Measured with one client and with 16 at once, at 20 services
and at 5,000; manager, clients, machines and servers share the machine. Results go to build/bench-creates.json: medians,
and the lowest and highest round. Fails when a target is missed: 100 a second with 16 clients, half of it with one, also
at 5,000 services.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from statistics import median

import aiohttp
import uvloop

from benchmarks.judged import Case, judge
from benchmarks.manager import READY_S, running_manager
from benchmarks.reports import send_reports
from headrace.common.bus.permissions import embedded_users
from headrace.common.db.migrate import migrate
from headrace.common.db.pool import Pool, open_pool
from headrace.embedded.stack import EmbeddedServers
from tests.support import many_rows
from tests.support.wait import eventually

SIZES, CLIENTS, MACHINES = (20, 5_000), (1, 16), 100
ROUNDS, CREATES = 5, 200
TARGETS = {"20_1": 50, "20_16": 100, "5000_1": 50, "5000_16": 100}
SERVICE = {
    "project": "p",
    "runtime": "cmd",
    "image": "registry.example/engine:1",
    "command": ["serve"],
    "port": 8000,
    "slots": {"cpu": "0.1", "mem": "64m"},
    "replicas": 1,
}


async def measure(size: int, folder: Path) -> dict[str, float]:
    """Return creates per second and CPU milliseconds per create at this number of services."""
    found: dict[str, float] = {}
    async with _installation(size, folder) as (url, key, pool, manager):
        names = (f"new-{number}" for number in range(1_000_000))
        async with aiohttp.ClientSession(url, headers={"Authorization": f"Bearer {key}"}) as http:
            await _round(http, names, clients=4)  # warm: connections, prepared statements
            for clients in CLIENTS:
                rates, costs = [], []
                for _ in range(ROUNDS):
                    cpu = _cpu_s(manager)
                    rates.append(await _round(http, names, clients=clients))
                    await eventually(lambda: _all_placed(pool), within_s=READY_S, every_s=0.05)
                    costs.append((_cpu_s(manager) - cpu) * 1000 / CREATES)
                case = f"{size}_{clients}"
                found |= {
                    case: median(rates),
                    f"{case}_lowest": min(rates),
                    f"{case}_highest": max(rates),
                    f"{case}_cpu_ms": median(costs),
                }
    return found


async def _round(http: aiohttp.ClientSession, names: object, *, clients: int) -> float:
    """Return the number of creates in a second."""
    left = iter(range(CREATES))

    async def client() -> None:
        for _ in left:  # shared by all clients
            async with http.post("/v1/services", json={**SERVICE, "name": next(names)}) as answer:  # type: ignore[call-overload]
                if answer.status != 201:
                    raise SystemExit(await answer.text())

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(client())
    return CREATES / (time.perf_counter() - started)


async def _all_placed(pool: Pool) -> bool:
    """Return whether every service has its session, on a machine, in a plan and a table."""
    return bool(
        await pool.fetchval(
            "select not exists (select 1 from services s where s.wanted > 0 and not exists "
            "(select 1 from sessions x where x.service_id = s.id and x.status <> 'pending')) "
            "and not exists (select 1 from table_changes)"
        )
    )


@asynccontextmanager
async def _installation(size: int, folder: Path) -> AsyncIterator[tuple[str, str, Pool, int]]:
    """Run servers, machines and a manager with this many services. Yields its URL, a key, a pool, and its process id."""
    async with AsyncExitStack() as stack:
        servers = EmbeddedServers(folder / "servers", only=("postgres", "nats"), users=embedded_users(1))
        await stack.enter_async_context(servers)
        await migrate(servers.database_url)
        pool = await stack.enter_async_context(open_pool(servers.database_url, size=2, statement_timeout_s=120))
        whose = await many_rows.owner(pool)
        await many_rows.services(pool, whose, size)
        machines = min(MACHINES, size)
        await many_rows.machines(pool, machines)
        await many_rows.sessions(pool, whose, machines=machines)
        await pool.execute("analyze")
        kernels = await pool.fetch("select agent_id, id, session_id from kernels")
        rows = [(row["agent_id"], row["id"], row["session_id"]) for row in kernels]
        user, password = servers.nats_user("manager")
        spawn = multiprocessing.get_context("spawn")
        silence = spawn.Event()  # never set
        sender = spawn.Process(target=send_reports, args=(servers.nats_url, user, password, rows, silence), daemon=True)
        sender.start()
        stack.callback(sender.terminate)
        manager = await stack.enter_async_context(
            running_manager(servers, folder, SERVICES_PER_PROJECT="100000", LOST_AFTER="PT60S")
        )
        await eventually(lambda: _quiet(pool, machines), within_s=READY_S, every_s=0.2)
        yield manager.url, manager.key, pool, manager.pid


async def _quiet(pool: Pool, machines: int) -> bool:
    """Return whether every machine has reported, and all plans and tables are published."""
    heard = await pool.fetchval("select count(*) from agents where incarnation = '2' and lost_at is null") == machines
    return bool(heard and await _all_placed(pool))


def _cpu_s(process: int) -> float:
    """Return the CPU seconds of the process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def show(found: dict[str, float]) -> bool:
    """Print the results; return whether all targets are met."""
    print(f"services created in a second, {ROUNDS} rounds of {CREATES} (load average {found['load_average']:.1f}):")
    cases = []
    for case, target in TARGETS.items():
        size, clients = case.split("_")
        note = (
            f"{found[f'{case}_lowest']:.0f} to {found[f'{case}_highest']:.0f}; {found[f'{case}_cpu_ms']:.1f} ms of the manager's "
            "processor each, its loops included"
        )
        cases.append(
            Case(f"at {int(size):,} services, clients: {clients}", found[case], "at least", target, "/s", note)
        )
    return judge(cases)


async def main() -> dict[str, float]:
    """Measure each size, on separate servers."""
    found: dict[str, float] = {}
    for size in SIZES:
        with tempfile.TemporaryDirectory() as temporary:
            found |= await measure(size, Path(temporary))
    return found | {"load_average": os.getloadavg()[0]}


if __name__ == "__main__":
    results = uvloop.run(main())
    target = Path("build") / "bench-creates.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(results, indent=2) + "\n")
    sys.exit(0 if show(results) else 1)
