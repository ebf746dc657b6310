"""An installation after years of use, over a real NATS and PostgreSQL, smaller than `python -m tests.scale`: what its loops and
restarts cost is counted (statements, rows, messages), not timed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from nats.js import JetStreamContext

from headrace.appproxy.control.tables_on_disk import TableStore
from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import LastValues
from headrace.common.bus.stored import stored_generations
from headrace.common.contracts.ids import new_uuid
from headrace.common.contracts.messages.plans import NodePlan
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.db.pool import Pool, _keep, _prepare
from headrace.common.runtime.clock import utc_now
from headrace.manager.domain.bounds import USUAL
from headrace.manager.inbox.app_proxies import Proxies
from headrace.manager.loops import publishing as publishing_loop
from headrace.manager.loops.housekeeping import Housekeeping, Retention
from headrace.manager.loops.placement import Placing
from headrace.manager.loops.publishing import Publishing
from headrace.manager.loops.services import Services
from headrace.manager.store.tables import Plans, Routes
from tests.support import many_rows
from tests.support.worlds.manager_api import serving

LIVING, DELETED, MACHINES, ENDED_EACH, EVENTS = 400, 300, 120, 10, 20_000
HOUR = timedelta(hours=1)


@dataclass
class Work:
    """What was asked of the database: statements, and rows that they returned."""

    statements: int = 0
    rows: int = 0

    async def of(self, doing: Callable[..., Awaitable[object]]) -> Work:
        """Return what this costs."""
        before = replace(self)
        await doing()
        return Work(self.statements - before.statements, self.rows - before.rows)


WORK = Work()


class Counting(asyncpg.Connection):  # type: ignore[misc]
    """Counts into WORK."""

    async def fetch(self, *arguments: Any, **options: Any) -> Any:
        rows = await super().fetch(*arguments, **options)
        WORK.rows += len(rows)
        return rows


@dataclass
class Grown:
    """The installation, the parts of a manager, and how often each loop asked for a pass."""

    pool: Pool
    bus: Bus
    whose: many_rows.Owner
    poked: list[str]
    services: Services
    plans: Publishing[NodePlan]
    routes: Publishing[RouteTable]

    @classmethod
    def managed(cls, pool: Pool, bus: Bus, whose: many_rows.Owner) -> Grown:
        """Return it with a manager that has just started."""
        poked: list[str] = []

        def poke(*names: str) -> None:
            poked.extend(names)

        return cls(
            pool,
            bus,
            whose,
            poked,
            Services(pool, Proxies(utc_now, poke), utc_now, poke, every=HOUR),
            Publishing(pool, bus, NodePlan, Plans(), verify=HOUR),
            Publishing(pool, bus, RouteTable, Routes(), verify=HOUR),
        )

    async def services_until_quiet(self) -> None:
        """Run passes of the services loop until it asks for none."""
        self.poked.append("services")
        while "services" in self.poked:
            self.poked.clear()
            await self.services.one_pass()

    async def published(self, stream: str) -> int:
        """Return how many messages the stream was ever sent."""
        return (await JetStreamContext(self.bus.client).stream_info(stream)).state.last_seq

    def received(self) -> int:
        """Return how many messages came over the bus."""
        return int(self.bus.client.stats["in_msgs"])


@pytest.fixture
async def grown(database_url: str, bus: Bus, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Grown]:
    """The installation, with everything looked at and published once, and the slow look at rest."""

    def note(_: Any) -> None:
        WORK.statements += 1

    async def setup(con: Any) -> None:
        con.add_query_logger(note)

    monkeypatch.setattr(publishing_loop, "LOOK_S", HOUR.total_seconds())
    async with asyncpg.create_pool(
        database_url, min_size=1, max_size=8, init=_prepare, setup=setup, reset=_keep, connection_class=Counting
    ) as pool:
        whose = await many_rows.owner(pool)
        await many_rows.services(pool, whose, LIVING)
        await many_rows.services(pool, whose, DELETED, prefix="gone", deleted_days_ago=31)
        await many_rows.machines(pool, MACHINES)
        await many_rows.sessions(pool, whose, machines=MACHINES)
        await many_rows.sessions(pool, whose, each=ENDED_EACH, ended_days_ago=8)
        await many_rows.events(pool, whose, EVENTS)
        it = Grown.managed(pool, bus, whose)
        await it.services_until_quiet()
        await it.plans.one_pass()
        await it.routes.one_pass()
        yield it


async def test_all_plans_and_tables_are_out_once_and_a_pass_without_news_asks_next_to_nothing(grown: Grown) -> None:
    assert sum((await stored_generations(grown.bus, NodePlan)).values()) == MACHINES == await grown.published("PLANS")
    assert sum((await stored_generations(grown.bus, RouteTable)).values()) == LIVING == await grown.published("ROUTES")
    received = grown.received()
    placement = Placing(grown.pool, utc_now, lambda *_: None)
    for name, one_pass in (
        ("services", grown.services.one_pass),
        ("placement", placement.one_pass),
        ("plans", grown.plans.one_pass),
        ("routes", grown.routes.one_pass),
    ):
        cost = await WORK.of(one_pass)
        assert cost.statements <= 12, (name, cost)
        assert cost.rows <= 5, (name, cost)
    assert grown.received() - received <= 2
    assert grown.poked == []


async def test_what_changed_costs_what_it_is(grown: Grown) -> None:
    await grown.pool.execute("update services set description = 'x' where name like 's-77%' or name = 's-7'")
    cost = await WORK.of(grown.services_until_quiet)
    assert cost.rows <= 20, cost  # two services and their sessions, read and looked at again
    assert cost.statements <= 40, cost
    token = new_uuid()
    await grown.pool.execute(
        "insert into tokens (id, service_id, created_by, expires_at) "
        "select $1, id, $2, now() + interval '1 day' from services where name = 's-7'",
        token,
        grown.whose.user,
    )
    await grown.pool.execute("update tokens set revoked_at = now() where id = $1", token)
    published = await grown.published("ROUTES")
    cost = await WORK.of(grown.routes.one_pass)
    assert await grown.published("ROUTES") == published + 1, "a revocation is the table of its service, and no other"
    assert cost.statements <= 16, cost
    assert cost.rows <= 10, cost
    machine = await grown.pool.fetchval(
        "update sessions set status = 'stopping' where id = (select session_id from kernels where agent_id = 'm-1' and ended_at is null limit 1) "
        "returning 'm-1'"
    )
    cost = await WORK.of(grown.plans.one_pass)
    assert (await stored_generations(grown.bus, NodePlan))[f"plan.agent.{machine}"] == 2
    assert await grown.published("PLANS") == MACHINES + 1
    assert cost.rows <= LIVING // MACHINES + 10, cost


async def test_a_manager_that_starts_reads_each_thing_once_and_publishes_nothing(grown: Grown) -> None:
    published = await grown.published("PLANS"), await grown.published("ROUTES")
    manager = Grown.managed(grown.pool, grown.bus, grown.whose)
    received = grown.received()
    cost = await WORK.of(manager.services_until_quiet)
    assert cost.statements <= 12 * (LIVING // 200 + 2), cost
    assert cost.rows <= 4 * LIVING, cost  # a service's id, row and session
    for loop, tables in ((manager.plans, MACHINES), (manager.routes, LIVING)):
        cost = await WORK.of(loop.one_pass)
        assert cost.statements <= 10 * (tables // 100 + 2), cost
        assert cost.rows <= 4 * tables + 2 * LIVING + 10, cost  # its id, row, digest, generation; kernels, their specs
    assert grown.received() - received <= MACHINES + LIVING + 40, "each stored value is read once"
    assert (await grown.published("PLANS"), await grown.published("ROUTES")) == published


async def test_an_app_proxy_that_starts_reads_each_table_once_and_writes_none_that_it_has(
    grown: Grown, tmp_path: Path
) -> None:
    written = []
    for start in range(2):
        tables, store = RouteTables(), TableStore(tmp_path / "routes")
        loaded = store.load_into(tables)
        assert loaded == start * LIVING
        came, new = 0, 0

        async def deliver(table: RouteTable, tables: RouteTables = tables) -> None:
            nonlocal came, new
            came += 1
            new += tables.apply(table)

        values = LastValues(grown.bus, RouteTable, deliver)
        running = asyncio.create_task(values.run())
        async with asyncio.timeout(30):
            await values.synced.wait()
        values.stop()
        await running
        assert (came, new, len(list(tables))) == (LIVING, LIVING - loaded, LIVING)
        await store.save(tables)
        written.append({path.name: path.stat().st_ino for path in (tmp_path / "routes").iterdir()})
    assert len(written[0]) == LIVING
    assert written[0] == written[1], "a file that is written has another inode"


async def test_what_is_over_goes_in_bounded_statements_and_lists_cost_what_they_show(
    grown: Grown, tmp_path: Path
) -> None:
    async with serving(grown.pool, tmp_path, most=replace(USUAL, services_per_project=10_000)) as api:
        for query, shown in (("?limit=100", 100), ("?limit=5", 5), ("/s-77", 1), ("/s-77/history", 100)):
            cost = await WORK.of(lambda query=query: api.admin.call("GET", f"/v1/services{query}"))
            assert cost.statements <= 8, (query, cost)
            assert cost.rows <= 2 * shown + 10, (query, cost)
    keeping = Housekeeping(grown.pool, lambda *names: grown.poked.extend(names), Retention())
    grown.poked.append("housekeeping")
    passes = 0
    while "housekeeping" in grown.poked:
        grown.poked.clear()
        await keeping.one_pass()
        passes += 1
    assert passes <= 3
    count = "select (select count(*) from sessions), (select count(*) from services), (select count(*) from events)"
    sessions, services, events = await grown.pool.fetchrow(count)
    assert (sessions, services) == (LIVING, LIVING)
    assert events >= EVENTS, "history is kept for a year"
