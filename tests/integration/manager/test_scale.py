"""What the manager asks of the database grows with what it asks for: blocks are counted, not seconds."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from typing import Any, cast
from unittest.mock import AsyncMock, Mock

import asyncpg
import pytest
from structlog.testing import capture_logs

from headrace.common.contracts.ids import ServiceId
from headrace.common.db.pool import Connection, Pool, _prepare, open_pool
from headrace.common.runtime.clock import utc_now
from headrace.manager.domain.lifecycle import trial
from headrace.manager.domain.lifecycle.replicas import decide
from headrace.manager.domain.records.services import ServiceFacts
from headrace.manager.domain.records.sessions import ReconciledService
from headrace.manager.inbox.app_proxies import AppProxyReports
from headrace.manager.loops import services as services_loop
from headrace.manager.loops.services import ServicesLoop
from headrace.manager.metrics import SKIPPED_ROWS
from headrace.manager.store import service_lists, services, sessions
from tests.support import many_rows
from tests.support.wait import eventually
from tests.support.worlds.manager_api import ManagerApi


async def blocks(con: Connection, statement: str, *arguments: Any) -> int:
    """Return how many blocks the statement touches."""
    plan = await con.fetchval(f"explain (analyze, buffers, format json) {statement}", *arguments)
    top = (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]
    return int(top["Shared Hit Blocks"] + top["Shared Read Blocks"])


def assert_linear(costs: Sequence[int], what: str) -> None:
    """Each cost is of twice as much as the one before."""
    for few, many in itertools.pairwise(costs):
        assert many < 2.5 * few, f"{what}: twice as much touched {costs} blocks"


async def test_listing_replicas_is_linear_in_those_that_are_shown_without_statistics(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 10)
    costs = []
    async with pool.acquire() as con:
        ids = [row["id"] for row in await pool.fetch("select id from services")]
        for each in (20, 20, 40):  # 200, 400, 800 in all
            await many_rows.sessions(pool, whose, each=each)
            costs.append(await blocks(con, services.SQL.replicas, ids))
    assert_linear(costs, "replicas")


async def test_showing_one_service_costs_the_same_however_many_sessions_ended(pool: Pool) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 10)
    await many_rows.sessions(pool, whose, each=5)
    async with pool.acquire() as con:
        ids = [await pool.fetchval("select id from services limit 1")]
        before = await blocks(con, services.SQL.replicas, ids)
        await many_rows.sessions(pool, whose, each=300, ended_days_ago=1)
        after = await blocks(con, services.SQL.replicas, ids)
    assert after < 2 * before + 50, (before, after)


@pytest.mark.parametrize("before", ["select", "vacuum analyze"])
async def test_reading_services_and_their_sessions_costs_the_same_whoever_else_is_there(
    pool: Pool, before: str
) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.machines(pool, 20)
    costs = []
    for more in ("first", "second", "third"):
        await many_rows.services(pool, whose, 100, prefix=more)
        await many_rows.services(pool, whose, 100, prefix=f"gone-{more}", deleted_days_ago=1)
        await many_rows.sessions(pool, whose, each=20, ended_days_ago=1)
        if more == "first":
            await many_rows.sessions(pool, whose, machines=20)
        await pool.execute(before)
        async with pool.acquire() as con:
            ids = [row["id"] for row in await con.fetch("select id from services where name like 'first-%' limit 50")]
            costs.append(
                [
                    await blocks(con, sessions.SQL.services, ids),
                    await blocks(con, sessions.SQL.live, ids),
                    await blocks(
                        con, sessions.SQL.count_by_status, ["pending", "placed", "running", "draining", "stopping"]
                    ),
                    await blocks(con, sessions.SQL.finish_stopped),
                ]
            )
    for few, *_, many in zip(*costs, strict=True):
        assert many < 1.5 * few + 60, costs


class Watched:
    """The services loop of a manager on this database, its statements counted and the services that it looks at noted."""

    def __init__(self, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = utc_now()
        self.poked: list[str] = []
        self.looked_at: list[ServiceId] = []
        self.loop = ServicesLoop(
            pool,
            AppProxyReports(lambda: self.now, lambda *_: None),
            lambda: self.now,
            lambda *names: self.poked.extend(names),
        )
        read = sessions.services

        async def noting(con: Connection, ids: Sequence[ServiceId]) -> list[ReconciledService]:
            self.looked_at += ids
            return await read(con, ids)

        monkeypatch.setattr(sessions, "services", noting)

    async def passes_until_quiet(self) -> None:
        """Run passes until none has anything to do."""
        self.poked = ["services"]
        while "services" in self.poked:
            await self.one()

    async def one(self) -> list[ServiceId]:
        """Run one pass and return what it looked at."""
        self.poked, self.looked_at = [], []
        await self.loop.one_pass()
        return self.looked_at


@pytest.fixture
async def counted(database_url: str) -> AsyncIterator[tuple[Pool, list[str]]]:
    """A pool, and the statements that were sent over it."""
    statements: list[str] = []

    def note(record: Any) -> None:
        statements.append(record.query)

    async def setup(con: Any) -> None:
        con.add_query_logger(note)

    async with asyncpg.create_pool(database_url, min_size=1, max_size=3, init=_prepare, setup=setup) as pool:
        yield pool, statements


async def _serving(pool: Pool, services: int) -> many_rows.Owner:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, services)
    await many_rows.machines(pool, 10)
    await many_rows.sessions(pool, whose, machines=10)
    return whose


async def test_a_pass_without_news_looks_at_no_service_and_sends_as_many_statements_however_many_there_are(
    counted: tuple[Pool, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, statements = counted
    whose = await _serving(pool, 50)
    watched, costs = Watched(pool, monkeypatch), []
    for more in ("first", "second"):
        await watched.passes_until_quiet()
        statements.clear()
        assert await watched.one() == []
        costs.append(len(statements))
        await many_rows.services(pool, whose, 400, prefix=more, wanted=0)
    assert costs[0] == costs[1] < 15, statements


async def test_finding_what_changed_touches_what_changed(pool: Pool) -> None:
    await _serving(pool, 400)
    async with pool.acquire() as con:
        since = await sessions.lowest_unseen(con)
        idle = await blocks(con, sessions.SQL.changed, since)
        everything = await blocks(con, sessions.SQL.changed, 0)
        await con.execute("analyze")
        analysed = await blocks(con, sessions.SQL.changed, since)
        await con.execute("update services set rev = rev + 1 where name in ('s-1', 's-2')")
        assert len(await sessions.changed(con, since)) == 2
    assert idle < 60 > analysed, (idle, analysed)
    assert everything > 2 * idle


async def test_a_pass_looks_at_what_changed_and_at_nothing_else(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    await _serving(pool, 30)
    watched = Watched(pool, monkeypatch)
    await watched.passes_until_quiet()
    ids = [ServiceId(row["id"]) for row in await pool.fetch("select id from services order by id")]
    await pool.execute("update services set wanted = 2 where id = $1", ids[3])
    assert await watched.one() == [ids[3]]
    assert await pool.fetchval("select count(*) from sessions where service_id = $1", ids[3]) == 2
    await watched.passes_until_quiet()
    await pool.execute("update sessions set health = 'unhealthy' where service_id = $1", ids[7])
    assert await watched.one() == [ids[7]]


async def test_what_a_machine_served_is_looked_at_when_it_is_lost(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    await _serving(pool, 30)
    watched = Watched(pool, monkeypatch)
    await watched.passes_until_quiet()
    await pool.execute("update agents set lost_at = now() where id = 'm-1'")
    there = {
        row["service_id"]
        for row in await pool.fetch(
            "select x.service_id from sessions x join kernels k on k.session_id = x.id where k.agent_id = 'm-1'"
        )
    }
    assert set(await watched.one()) == there != set()


async def test_a_change_that_was_begun_before_a_pass_and_committed_after_it_is_not_missed(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _serving(pool, 5)
    watched = Watched(pool, monkeypatch)
    await watched.passes_until_quiet()
    ids = [ServiceId(row["id"]) for row in await pool.fetch("select id from services order by id")]
    async with pool.acquire() as con:
        begun = con.transaction()
        await begun.start()
        await con.execute("update services set wanted = 2 where id = $1", ids[0])
        await pool.execute("update services set description = 'x' where id = $1", ids[1])
        assert await watched.one() == [ids[1]]
        assert await watched.one() == [], "what was seen is not seen again while older transactions are open"
        await begun.commit()
    assert await watched.one() == [ids[0]]


async def test_every_service_has_its_turn_although_nothing_is_known_of_a_change(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services_loop, "TURN", 10)
    await _serving(pool, 35)
    watched = Watched(pool, monkeypatch)
    await watched.passes_until_quiet()
    seen: list[ServiceId] = []
    for _ in range(4):
        watched.now += timedelta(seconds=2)
        looked_at = await watched.one()
        assert len(looked_at) <= 10
        seen += looked_at
    assert len(set(seen)) == 35


async def test_a_change_that_a_pass_could_not_read_is_looked_at_by_the_next(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _serving(pool, 5)
    watched = Watched(pool, monkeypatch)
    await watched.passes_until_quiet()
    changed = ServiceId(await pool.fetchval("update services set wanted = 2 where name = 's-3' returning id"))
    with monkeypatch.context() as broken:
        broken.setattr(sessions, "live", AsyncMock(side_effect=asyncpg.QueryCanceledError))
        with pytest.raises(asyncpg.QueryCanceledError):
            await watched.one()
    assert await watched.one() == [changed]


async def test_a_trial_run_that_cannot_be_handled_is_logged_once(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 1)
    await many_rows.sessions(pool, whose)
    await pool.execute(
        "update sessions set kind = 'validation', service_id = null, revision_id = null, resolved = '{}'"
    )
    monkeypatch.setattr(trial, "decide", Mock(side_effect=ValueError("no such thing")))
    watched = Watched(pool, monkeypatch)
    before = SKIPPED_ROWS.labels("services")._value.get()
    with capture_logs() as logged:
        for _ in range(3):
            await watched.one()
    assert SKIPPED_ROWS.labels("services")._value.get() == before + 3
    assert [entry["loop"] for entry in logged if entry["event"] == "row_skipped"] == ["services"]


async def test_one_bad_service_costs_itself(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 10)
    bad = await pool.fetchval("select id from services order by id limit 1")

    def failing(want: Any, have: Any, now: Any) -> Any:
        if want.revision_id == revision:
            raise ValueError("no such thing")
        return decide(want, have, now)

    revision = await pool.fetchval("select revision_id from services where id = $1", bad)
    monkeypatch.setattr(services_loop, "decide", failing)
    watched = Watched(pool, monkeypatch)
    before = SKIPPED_ROWS.labels("services")._value.get()
    await watched.one()
    assert SKIPPED_ROWS.labels("services")._value.get() == before + 1
    made = {row["service_id"] for row in await pool.fetch("select service_id from sessions")}
    assert len(made) == 9
    assert bad not in made
    watched.now += timedelta(seconds=2)
    assert bad in await watched.one(), "its turn comes again"
    found = await pool.fetch("select id, problem from services where problem is not null")
    assert [(row["id"], row["problem"]) for row in found] == [(bad, "ValueError: no such thing")]
    monkeypatch.setattr(services_loop, "decide", decide)
    watched.now += timedelta(seconds=2)
    await watched.one()
    assert await pool.fetchval("select count(*) from services where problem is not null") == 0


async def test_a_full_disk_of_the_database_is_no_services_problem(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 3)

    def full(*_: Any) -> Any:
        raise asyncpg.DiskFullError("could not extend file")

    monkeypatch.setattr(services_loop, "decide", full)
    watched = Watched(pool, monkeypatch)
    with pytest.raises(asyncpg.DiskFullError):
        await watched.one()
    assert await pool.fetchval("select count(*) from services where problem is not null") == 0
    monkeypatch.setattr(services_loop, "decide", decide)
    watched.now += timedelta(seconds=2)
    assert len(await watched.one()) == 3, "they are due again"


async def _listed(api: ManagerApi, query: str) -> tuple[list[str], list[int]]:
    """Return the names of all pages, and how many items each page had."""
    names, sizes, cursor = list[str](), list[int](), ""
    while True:
        page = await api.admin.call("GET", f"/v1/services?{query}{cursor}")
        names += [item["name"] for item in page["items"]]
        sizes.append(len(page["items"]))
        if page["next"] is None:
            return names, sizes
        cursor = f"&cursor={page['next']}"


async def test_a_list_by_status_examines_a_bounded_number_of_services_a_request(
    api: ManagerApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, user = await api.pool.fetchrow("select p.id, u.id from projects p, users u limit 1")
    await many_rows.services(api.pool, many_rows.Owner(user, project), 650, wanted=0)
    await api.pool.execute(
        "update services set wanted = 2, failed_starts = 5 where id = (select max(id::text)::uuid from services)"
    )
    rare = await api.pool.fetchval("select name from services where wanted = 2")
    examined: list[int] = []
    facts = service_lists.facts

    async def noting(con: Connection, service_ids: Sequence[ServiceId]) -> list[ServiceFacts]:
        found = await facts(con, service_ids)
        examined.append(len(found))
        return found

    monkeypatch.setattr(service_lists, "facts", noting)
    assert await _listed(api, "phase=failed") == ([rare], [1])
    assert sum(examined) == 1, "the database finds them"
    examined.clear()
    assert await _listed(api, "status=healthy") == ([], [0, 0])
    assert sum(examined) == 650
    names, sizes = await _listed(api, "status=unhealthy&limit=120")
    assert len(set(names)) == len(names) == 650
    assert max(sizes) == 120
    examined.clear()
    counts = await api.admin.call("GET", "/v1/services/counts")
    assert (counts["counted"], counts["complete"], counts["by_status"]["unhealthy"]) == (650, True, 650)
    monkeypatch.setattr("headrace.manager.usecases.service_lists.MAX_COUNTED", 200)
    examined.clear()
    counts = await api.admin.call("GET", "/v1/services/counts?phase=deployed")
    assert (sum(examined), counts["counted"], counts["complete"]) == (200, 200, False)
    assert (await api.admin.call("GET", "/v1/services?limit=1"))["total"] == 650


async def test_using_a_connection_costs_no_statement_and_no_transaction_outlives_its_use(database_url: str) -> None:
    statements: list[str] = []
    async with open_pool(database_url, size=1) as pool:
        async with pool.acquire() as con:
            used = cast("Any", con)._con
            used.add_query_logger(lambda record: statements.append(record.query))
        for _ in range(3):
            assert await pool.fetchval("select 1") == 1
        assert statements == ["select 1"] * 3
        async with pool.acquire() as con:
            await con.execute("begin")
            await con.execute("create table left_over ()")
        async with pool.acquire() as con:
            assert not con.is_in_transaction()
            assert await con.fetchval("select to_regclass('left_over')") is None


async def test_creates_of_a_project_without_a_quota_do_not_wait_for_each_other(api: ManagerApi) -> None:
    body = {"runtime": "cmd", "slots": {"cpu": 1, "mem": "1g"}}
    async with api.pool.acquire() as con:
        other = con.transaction()
        await other.start()
        await con.fetch("select 1 from projects for share")  # as another create that has not committed
        await asyncio.wait_for(api.admin.call("POST", "/v1/services", {**body, "name": "free"}, expect=201), 60)
        await con.execute("""set local lock_timeout = '10s'""")
        await con.execute("""update projects set quota = '{"cpu": "5"}'""")
        waits = asyncio.create_task(
            api.admin.call("POST", "/v1/services", {**body, "name": "counted", "replicas": 9}, expect=409)
        )
        held = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        await eventually(lambda: api.pool.fetchval(held))
        await other.commit()
    await waits
    assert await api.pool.fetchval("select array_agg(name) from services") == ["free"]
