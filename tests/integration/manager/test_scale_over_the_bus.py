"""An installation after years of use, over a real NATS and PostgreSQL, smaller than `python -m tests.scale`: what its loops and
restarts cost is counted (statements, rows, messages), not timed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
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
from headrace.manager.folders.storage import FolderStorage, open_storage
from headrace.manager.loops import publishing as publishing_loop
from headrace.manager.loops.pokes import LOOPS
from headrace.manager.usecases.ports import LoopName
from headrace.manager.wiring import make_manager
from headrace.manager.wiring_edges import Edges
from tests.support import many_rows
from tests.support.factories.settings import manager_settings
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
    """The installation, and a manager that has just started: its loops pass when the test says so."""

    pool: Pool
    bus: Bus
    storage: FolderStorage
    whose: many_rows.Owner

    def __post_init__(self) -> None:
        settings = manager_settings(Path("/unused"), reconcile_every=HOUR, verify_every=HOUR)
        self.manager = make_manager(settings, Edges(self.pool, self.bus, self.storage))

    def poked(self) -> list[LoopName]:
        """Return the loops that were asked to pass."""
        return [name for name in LOOPS if self.manager.pokes.event(name).is_set()]

    async def one_pass(self, name: LoopName) -> None:
        """Let one loop pass once."""
        await self.manager.loops.by_name[name].one_pass()

    async def until_quiet(self, name: LoopName) -> int:
        """Let one loop pass until it asks for no further one; return how often it did."""
        passes = 0
        while passes == 0 or name in self.poked():
            for loop in LOOPS:
                self.manager.pokes.event(loop).clear()
            await self.one_pass(name)
            passes += 1
        return passes

    async def published(self, stream: str) -> int:
        """Return how many messages the stream was ever sent."""
        return (await JetStreamContext(self.bus.client).stream_info(stream)).state.last_seq

    def received(self) -> int:
        """Return how many messages came over the bus."""
        return int(self.bus.client.stats["in_msgs"])


@pytest.fixture
async def grown(database_url: str, bus: Bus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Grown]:
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
        with open_storage(tmp_path / "folders") as storage:
            it = Grown(pool, bus, storage, whose)
            await it.until_quiet("services")
            await it.one_pass("plans")
            await it.one_pass("routes")
            yield it


async def test_all_plans_and_tables_are_out_once_and_a_pass_without_news_asks_next_to_nothing(grown: Grown) -> None:
    assert sum((await stored_generations(grown.bus, NodePlan)).values()) == MACHINES == await grown.published("PLANS")
    assert sum((await stored_generations(grown.bus, RouteTable)).values()) == LIVING == await grown.published("ROUTES")
    received = grown.received()
    loops: tuple[LoopName, ...] = ("services", "placement", "plans", "routes")
    for name in loops:
        cost = await WORK.of(partial(grown.one_pass, name))
        assert cost.statements <= 12, (name, cost)
        assert cost.rows <= 5, (name, cost)
    assert grown.received() - received <= 2
    assert grown.poked() == []


async def test_what_changed_costs_what_it_is(grown: Grown) -> None:
    await grown.pool.execute("update services set description = 'x' where name like 's-77%' or name = 's-7'")
    cost = await WORK.of(partial(grown.until_quiet, "services"))
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
    cost = await WORK.of(partial(grown.one_pass, "routes"))
    assert await grown.published("ROUTES") == published + 1, "a revocation is the table of its service, and no other"
    assert cost.statements <= 16, cost
    assert cost.rows <= 10, cost
    machine = await grown.pool.fetchval(
        "update sessions set status = 'stopping' where id = (select session_id from kernels where agent_id = 'm-1' and ended_at is null limit 1) "
        "returning 'm-1'"
    )
    cost = await WORK.of(partial(grown.one_pass, "plans"))
    assert (await stored_generations(grown.bus, NodePlan))[f"plan.agent.{machine}"] == 2
    assert await grown.published("PLANS") == MACHINES + 1
    assert cost.rows <= LIVING // MACHINES + 10, cost


async def test_a_manager_that_starts_reads_each_thing_once_and_publishes_nothing(grown: Grown) -> None:
    published = await grown.published("PLANS"), await grown.published("ROUTES")
    again = Grown(grown.pool, grown.bus, grown.storage, grown.whose)
    received = grown.received()
    cost = await WORK.of(partial(again.until_quiet, "services"))
    assert cost.statements <= 12 * (LIVING // 200 + 2), cost
    assert cost.rows <= 4 * LIVING, cost  # a service's id, row and session
    publishing: tuple[tuple[LoopName, int], ...] = (("plans", MACHINES), ("routes", LIVING))
    for name, tables in publishing:
        cost = await WORK.of(partial(again.one_pass, name))
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
        async with asyncio.timeout(60):
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
    async with serving(grown.pool, tmp_path, services_per_project=10_000) as api:
        for query, shown in (("?limit=100", 100), ("?limit=5", 5), ("/s-77", 1), ("/s-77/history", 100)):
            cost = await WORK.of(lambda query=query: api.admin.call("GET", f"/v1/services{query}"))
            assert cost.statements <= 8, (query, cost)
            assert cost.rows <= 3 * shown + 10, (query, cost)  # the ids of the page, their services, their replicas
    assert await grown.until_quiet("housekeeping") <= 3
    count = "select (select count(*) from sessions), (select count(*) from services), (select count(*) from events)"
    sessions, services, events = await grown.pool.fetchrow(count)
    assert (sessions, services) == (LIVING, LIVING)
    assert events >= EVENTS, "history is kept for a year"
