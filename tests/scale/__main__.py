"""An installation after years of use, measured by hand: `python -m tests.scale`. docs/limits.md quotes what it prints.

10,000 services ever, 5,000 of them living with one replica each on 1,024 machines, 100,000 ended sessions, 1,000,000 events.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path

import httpx
import structlog
import uvloop

from headrace.common.bus.connect import Bus, open_bus
from headrace.common.bus.consume import LastValues
from headrace.common.bus.permissions import embedded_users
from headrace.common.bus.streams import ensure_streams
from headrace.common.contracts.ids import new_uuid
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.db.migrate import migrate
from headrace.common.db.pool import Pool, open_pool
from headrace.embedded.stack import EmbeddedServers
from headrace.manager.folders.storage import open_storage
from headrace.manager.wiring import Manager, make_manager
from headrace.manager.wiring_edges import Edges
from tests.support import many_rows
from tests.support.factories.settings import manager_settings
from tests.support.worlds.manager_api import ManagerApi, serving

LIVING, DELETED, MACHINES, ENDED_EACH, EVENTS = 5_000, 5_000, 1_024, 20, 1_000_000
CREATES, AT_ONCE = 300, 16


async def main() -> None:
    """Fill, measure, print."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = EmbeddedServers(folder / "servers", only=("postgres", "nats"), users=embedded_users(1), durable=False)
        await stack.enter_async_context(servers)
        await migrate(servers.database_url)
        pool = await stack.enter_async_context(open_pool(servers.database_url, size=16, statement_timeout_s=300))
        api = await stack.enter_async_context(serving(pool, folder, services_per_project=100_000))
        project, user = await pool.fetchrow("select p.id, u.id from projects p, users u limit 1")
        whose = many_rows.Owner(user, project)
        await many_rows.services(pool, whose, LIVING)
        await many_rows.services(pool, whose, DELETED, prefix="gone", deleted_days_ago=31)
        await many_rows.machines(pool, MACHINES)
        await many_rows.sessions(pool, whose, machines=MACHINES)
        await many_rows.sessions(pool, whose, each=ENDED_EACH, ended_days_ago=8)
        await many_rows.events(pool, whose, EVENTS)
        print(f"filled, load average {os.getloadavg()[0]:.1f}", flush=True)
        user_name, password = servers.nats_user("manager")
        bus = await stack.enter_async_context(
            open_bus(servers.nats_url, user=user_name, password=password, name="scale")
        )
        await ensure_streams(bus)
        storage = stack.enter_context(open_storage(folder / "folders"))
        start = partial(_start, Edges(pool, bus, storage))
        await _measure(pool, api, start())
        await _bus(pool, bus, whose, start)
        await _creates(pool, api, start())
        print(f"done, load average {os.getloadavg()[0]:.1f}", flush=True)


def _start(edges: Edges) -> Manager:
    """A manager that has just started, and passes only when it is told to."""
    hour = timedelta(hours=1)
    return make_manager(manager_settings(Path("/unused"), verify_every=hour), edges)


async def _measure(pool: Pool, api: ManagerApi, manager: Manager) -> None:
    loops, poked = manager.loops.by_name, manager.pokes.event("services")
    services = loops["services"]

    async def first() -> None:
        poked.set()
        while poked.is_set():
            poked.clear()
            await services.one_pass()

    await _timed("services: every service looked at, once", first)
    await _timed("services: a pass without news", services.one_pass)
    await pool.execute("update services set description = 'x' where name like 's-77%'")
    await _timed("services: a pass with 111 changed", services.one_pass)
    await pool.execute("update services set served_revision_id = null where deleted_at is null")
    await _timed("services: every service acted on, once", first)
    await _timed("placement: a pass with nothing pending", loops["placement"].one_pass)
    await _timed("housekeeping: a pass (5,000 of a kind at most)", loops["housekeeping"].one_pass)
    # a client of its own: the other one's connection may have been closed while the tables were filled
    async with httpx.AsyncClient(verify=False, headers=api.admin.http.headers, base_url=api.url, timeout=60) as client:
        for query in ("", "?limit=100", "?limit=500", "?phase=failed", "?status=unhealthy", "?q=s-49", "/s-2500"):
            await _timed(f"GET /v1/services{query}", partial(_get, client, query))


async def _bus(pool: Pool, bus: Bus, whose: many_rows.Owner, start: Callable[[], Manager]) -> None:
    """Plans and tables: published, compared by a manager that starts, read by an app-proxy that starts; a revocation."""
    loops = start().loops.by_name
    plans, routes = loops["plans"], loops["routes"]
    await _timed("plans: all published, the first time", plans.one_pass)
    await _timed("routes: all published, the first time", routes.one_pass)
    await _timed("plans: a pass without news", plans.one_pass)
    await _timed("routes: a pass without news", routes.one_pass)
    token = new_uuid()
    await pool.execute(
        "insert into tokens (id, service_id, created_by, expires_at) "
        "select $1, id, $2, now() + interval '1 day' from services where name = 's-7'",
        token,
        whose.user,
    )
    await pool.execute("update tokens set revoked_at = now() where id = $1", token)
    await _timed("routes: a revocation reaches the bus", routes.one_pass)
    loops = start().loops.by_name
    plans, routes = loops["plans"], loops["routes"]
    await _timed("plans: a manager that starts compares all", plans.one_pass)
    await _timed("routes: a manager that starts compares all", routes.one_pass)
    revoked = list[RouteTable]()

    async def deliver(table: RouteTable) -> None:
        if any(revocation.token_id == token for revocation in table.revocations):
            revoked.append(table)

    tables = LastValues(bus, RouteTable, deliver)

    async def read_all() -> None:
        running = asyncio.create_task(tables.run())
        await tables.synced.wait()
        tables.stop()
        await running

    await _timed("routes: an app-proxy that starts reads all", read_all)
    if len(revoked) != 1:
        raise SystemExit("the revocation is in no table")


async def _creates(pool: Pool, api: ManagerApi, manager: Manager) -> None:
    """Creates over HTTP while the services loop passes over and over; the client shares the process, and so its core."""
    loop = manager.loops.by_name["services"]
    for _ in range(20):  # it has looked at all of them
        await loop.one_pass()
    done = asyncio.Event()
    before = await pool.fetchval("select count(*) from services")
    numbers = iter(range(before, before + CREATES))

    async def passes() -> None:
        while not done.is_set():
            await loop.one_pass()
            await asyncio.sleep(0.01)

    async def client() -> None:
        for number in numbers:
            body = {"name": f"new-{number}", "runtime": "cmd", "slots": {"cpu": 1, "mem": "1g"}, "replicas": 1}
            await api.admin.call("POST", "/v1/services", body, expect=201)

    passing = asyncio.create_task(passes())
    started = time.monotonic()
    await asyncio.gather(*(client() for _ in range(AT_ONCE)))
    print(f"{'creates a second':>55}: {CREATES / (time.monotonic() - started):8.0f}")
    done.set()
    await passing


async def _get(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"/v1/services{query}")
    answer.raise_for_status()


async def _timed(title: str, work: Callable[[], Awaitable[object]]) -> None:
    started = time.monotonic()
    await work()
    print(f"{title:>55}: {(time.monotonic() - started) * 1000:8.1f} ms", flush=True)


if __name__ == "__main__":
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    sys.exit(uvloop.run(main()))
