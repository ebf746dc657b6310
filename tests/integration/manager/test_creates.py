"""What creating and changing services asks of the database: statements are counted, not seconds."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from headrace.common.db.pool import Pool, _keep, _prepare
from headrace.common.runtime.clock import utc_now
from headrace.manager.inbox.app_proxies import AppProxyReports
from headrace.manager.loops.services import ServicesLoop
from headrace.manager.store import services, sessions
from tests.support import many_rows
from tests.support.worlds.manager_api import serving

VISIT = "visit to the pool"
KEY = 1
"""Visits of every request: the API key is looked up."""


def visits(asked: list[str]) -> int:
    """Return how many visits to the pool a request made beside the look-up of its key."""
    return asked.count(VISIT) - KEY


@pytest.fixture
async def counted(database_url: str) -> AsyncIterator[tuple[Pool, list[str]]]:
    """A pool, and the statements that were sent over it, after a line for each visit."""
    statements: list[str] = []

    def note(record: Any) -> None:
        statements.append(record.query)

    async def setup(con: Any) -> None:
        statements.append(VISIT)
        con.add_query_logger(note)

    async with asyncpg.create_pool(
        database_url, min_size=1, max_size=3, init=_prepare, setup=setup, reset=_keep
    ) as pool:
        yield pool, statements


async def test_a_create_is_a_handful_of_statements_and_answers_what_a_look_at_the_service_does(
    counted: tuple[Pool, list[str]], tmp_path: Path
) -> None:
    pool, statements = counted
    async with serving(pool, tmp_path) as api:
        body = {
            "runtime": "cmd",
            "slots": {"cpu": "0.50", "mem": "1g"},
            "tags": ["a"],
            "metadata": {"k": "v"},
            "models": ["llama"],
            "balance": {"policy": "prefix"},
            "limits": {"max_queued": 7},
            "caller_limits": {"in_flight": 3},
            "rollout": {"on_failure": "roll-back"},
            "cors": {"allow_origins": ["https://a.example"]},
            "description": "d",
            "replicas": 2,
        }
        for number in range(2):
            statements.clear()
            made = await api.admin.call(
                "POST", "/v1/services", {**body, "name": f"s-{number}", "models": [f"llama-{number}"]}, expect=201
            )
        assert len([asked for asked in statements if asked != VISIT]) <= 6, statements
        assert visits(statements) == 2, statements
        assert made == await api.admin.call("GET", "/v1/services/s-1")
        history = await api.admin.call("GET", "/v1/services/s-1/history")
        assert [event["action"] for event in history["items"]] == ["service.created"]
        assert history["items"][0]["details"]["service"]["models"] == ["llama-1"]
        taken = {**body, "name": "s-2", "models": ["free", "llama-0"]}
        refused = await api.admin.call("POST", "/v1/services", taken, expect=409)
        assert "llama-0 leads to another service" in refused["detail"]
        refused = await api.admin.call("POST", "/v1/services", {**taken, "name": "llama-0", "models": []}, expect=409)
        assert "found as llama-0 already" in refused["detail"]
        assert await pool.fetchval("select count(*) from services") == 2


@pytest.mark.parametrize("quota", [None, {"cpu": "100"}])
async def test_a_create_visits_the_pool_twice_however_much_has_to_be_looked_up(
    counted: tuple[Pool, list[str]], tmp_path: Path, quota: dict[str, str] | None
) -> None:
    pool, statements = counted
    async with serving(pool, tmp_path) as api:
        await api.admin.call("PATCH", "/v1/projects/default", {"quota": quota})
        for name, usage in (("m", "model"), ("d", "data"), ("e", "data")):
            await api.admin.call("POST", "/v1/folders", {"name": name, "usage_mode": usage}, expect=201)
        body = {"runtime": "vllm", "image": "i", "folder": "m", "extra_mounts": [{"folder": "d"}, {"folder": "e"}]}
        statements.clear()
        await api.admin.call("POST", "/v1/services", {"name": "s", **body}, expect=201)
        assert visits(statements) == 2, statements
        statements.clear()
        await api.admin.call("PATCH", "/v1/services/s", {"spec": {**body, "image": "j"}})
        assert visits(statements) == 2, statements
        await pool.execute("update services set failed_starts = 1")
        statements.clear()
        await api.admin.call("POST", "/v1/services/s/retry")
        assert visits(statements) == 2, statements


async def test_a_create_near_the_bound_on_services_still_visits_the_pool_twice(
    counted: tuple[Pool, list[str]], tmp_path: Path
) -> None:
    pool, statements = counted
    async with serving(pool, tmp_path, services_per_project=1) as api:
        statements.clear()
        await api.admin.call("POST", "/v1/services", {"name": "s", "runtime": "cmd"}, expect=201)
        assert visits(statements) == 2, statements
        statements.clear()
        refused = await api.admin.call("POST", "/v1/services", {"name": "t", "runtime": "cmd"}, expect=409)
        assert "found 1 services; allowed: at most 1" in refused["detail"]
        assert visits(statements) == 4, "a refused one is judged once more, for all that is wrong with it"


async def test_a_change_answers_what_its_transaction_read_and_asks_nothing_after_the_commit(
    counted: tuple[Pool, list[str]], tmp_path: Path
) -> None:
    pool, statements = counted
    async with serving(pool, tmp_path) as api:
        spec = {"runtime": "cmd", "image": "img"}
        for call in (
            ("POST", "/v1/services", {"name": "s", **spec}),
            ("PATCH", "/v1/services/s", {"replicas": 3, "spec": {**spec, "image": "other", "slots": {"npu": "1"}}}),
            ("POST", "/v1/services/s/stop", None),
            ("POST", "/v1/services/s/start", None),
            ("POST", "/v1/services/s/restart", None),
            ("POST", "/v1/services/s/retry", None),
            ("POST", "/v1/services/s/rollback", {"revision": 1}),
        ):
            statements.clear()
            answer = await api.admin.call(*call, expect=201 if call[1] == "/v1/services" else 200)
            assert statements[-1] == "COMMIT;", (call, statements)
            assert visits(statements) <= 2, (call, statements)
            if call[1] != "/v1/services":
                held = statements[statements.index(services.SQL.hold) :]
                assert held.count(services.SQL.find) == 2, "once under its lock, once for the answer"
            found = await api.admin.call("GET", "/v1/services/s")
            assert {**answer, "note": None} == {**found, "note": None}, call


async def test_first_replicas_of_many_services_are_as_many_statements_as_those_of_one(
    counted: tuple[Pool, list[str]],
) -> None:
    pool, statements = counted
    whose = await many_rows.owner(pool)
    poked: list[str] = []
    loop = ServicesLoop(pool, AppProxyReports(utc_now, lambda *_: None), utc_now, lambda *names: poked.extend(names))
    costs = []
    for prefix, count in (("warm", 1), ("one", 1), ("many", 100)):
        await many_rows.services(pool, whose, count, prefix=prefix, wanted=3)
        statements.clear()
        poked.clear()
        await loop.one_pass()
        costs.append(len(statements))
        assert "placement" in poked
    assert costs[2] == costs[1], statements
    found = await pool.fetch(
        "select service_id, count(*) as sessions from sessions where status = 'pending' group by 1"
    )
    assert [row["sessions"] for row in found] == [3] * 102
    assert await pool.fetchval("select count(*) from kernels where role = 'main'") == 306


async def test_a_service_that_changed_since_it_was_read_gets_no_replica_and_the_others_do(
    pool: Pool, monkeypatch: pytest.MonkeyPatch
) -> None:
    whose = await many_rows.owner(pool)
    await many_rows.services(pool, whose, 5)
    loop = ServicesLoop(pool, AppProxyReports(utc_now, lambda *_: None), utc_now, lambda *_: None)
    read = sessions.live

    async def overtaken(con: Any, ids: Any) -> Any:
        found = await read(con, ids)
        await pool.execute("update services set goal = 'stopped', rev = rev + 1 where name = 's-3'")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(sessions, "live", overtaken)
        await loop.one_pass()
    await loop.one_pass()
    found = await pool.fetch("select s.name from sessions x join services s on s.id = x.service_id order by s.name")
    assert [row["name"] for row in found] == ["s-1", "s-2", "s-4", "s-5"]
