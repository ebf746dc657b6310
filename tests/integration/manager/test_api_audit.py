"""`GET /v1/audit`: who changed what, from where; who may read it; pages over many changes that do not match."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from headrace.common.contracts.ids import new_uuid
from headrace.common.db.pool import Pool
from headrace.manager.store import events
from tests.support.api import Api
from tests.support.worlds.manager_api import ManagerApi


async def listed(api: Api, **query: str) -> list[dict[str, Any]]:
    """Return the entries of all pages."""
    found: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await api.call("GET", "/v1/audit?" + urlencode(query | cursor))
        found += page["items"]
        if page["next"] is None:
            return found
        cursor = {"cursor": page["next"]}


async def refused(api: Api, status: int, **query: str) -> str:
    """Return the text of a refusal."""
    return str((await api.call("GET", "/v1/audit?" + urlencode(query), expect=status))["detail"])


def actions(entries: list[dict[str, Any]]) -> list[str]:
    """Return what was done, newest first."""
    return [entry["action"] for entry in entries]


async def test_an_operator_reads_who_did_what_from_where(api: ManagerApi) -> None:
    await api.machine("gpu-1")
    await api.machine("gpu-2")
    for agent in ("gpu-1", "gpu-2"):
        await api.admin.call("PUT", f"/v1/agents/{agent}/cordon", {"reason": "new disks"})
    await api.admin.call("DELETE", "/v1/agents/gpu-1/cordon")
    await api.admin.call("POST", "/v1/projects", {"name": "search"})

    [back, away] = await listed(api.admin, agent="gpu-1")
    assert (back["action"], away["action"], away["message"]) == ("agent.uncordoned", "agent.cordoned", "new disks")
    assert (away["actor"], away["source_address"]) == ("admin", "127.0.0.1")
    assert away["project"] is away["service"] is None
    assert actions(await listed(api.admin, action="agent.*")) == ["agent.uncordoned", *["agent.cordoned"] * 2]
    assert len(await listed(api.admin, action="agent.cordoned", actor="admin", limit="1")) == 2
    assert await listed(api.admin, action="agent.cordoned", actor="ada") == []
    [created] = await listed(api.admin, project="search")
    assert (created["action"], created["project"]) == ("project.created", "search")


async def test_an_action_that_is_none_is_refused_in_words(api: ManagerApi) -> None:
    for action in ("*", "agent", "agent.cordon%"):
        said = await refused(api.admin, 400, action=action)
        assert "allowed: an action as agent.cordoned, or the beginning of several and a star, as agent.*" in said


async def test_owners_read_that_of_their_projects_and_nobody_else_does(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/projects", {"name": "search"})
    owner, member, stranger = [
        await api.user(name, **roles)
        for name, roles in (("ada", {"search": "owner"}), ("bob", {"search": "member"}), ("eve", {}))
    ]
    assert "project.created" in actions(await listed(owner, project="search"))
    assert "owners of a project" in await refused(owner, 403)
    assert "owner" in await refused(member, 403, project="search")
    await refused(stranger, 404, project="search")
    await refused(owner, 404, project="default")
    for one in (owner, member, stranger):
        await one.close()


async def test_what_is_gone_is_still_read_by_its_id(api: ManagerApi) -> None:
    project = await api.admin.call("POST", "/v1/projects", {"name": "search"})
    await api.admin.call("DELETE", "/v1/projects/search")
    deleted, created = await listed(api.admin, project=project["id"])
    assert (deleted["action"], created["action"]) == ("project.deleted", "project.created")
    assert created["project_id"] == project["id"]
    await refused(api.admin, 404, project="search")


async def test_a_range_of_time_has_its_beginning_and_not_its_end(api: ManagerApi) -> None:
    await api.pool.execute("delete from events")
    start = datetime(2026, 11, 1, tzinfo=UTC)
    for hour in range(4):
        at = start + timedelta(hours=hour)
        number = (int(at.timestamp() * 1000) << 80) | 7 << 76 | 2 << 62 | hour
        await api.pool.execute(
            "insert into events (id, at, actor, action) values (($1::text)::uuid, $2, 'ada', $3)",
            f"{number:032x}",
            at,
            f"hour.h{'abcd'[hour]}",
        )
    found = await listed(api.admin, since=(start + timedelta(hours=1)).isoformat(), until="2026-11-01T03:00:00Z")
    assert actions(found) == ["hour.hc", "hour.hb"]
    assert await listed(api.admin, since="2026-11-01T04:00:00Z") == []
    assert len(await listed(api.admin, until="9999-01-01T00:00:00Z")) == 4
    assert await listed(api.admin, until="0001-01-01T00:00:00Z") == []
    for first, last in (("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"), ("1900-01-01T00:00:00Z",) * 2):
        found = await listed(api.admin, since=first, until=last)
        assert len(found) == (4 if first != last else 0)


async def test_a_page_reads_so_many_changes_and_no_more(api: ManagerApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MAX_SCANNED", 10)
    await _insert(api.pool, "rare.first", 1)
    await _insert(api.pool, "often.again", 35)
    page = await api.admin.call("GET", "/v1/audit?action=rare.first")
    assert page["items"] == []
    assert page["next"] is not None
    assert actions(await listed(api.admin, action="rare.first")) == ["rare.first"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"action": "agent.*.x"},
        {"action": "%"},
        {"since": "yesterday"},
        {"since": "0001-01-01T00:00:00+14:00"},
        {"actor": ""},
        {"cursor": "1"},
    ],
)
async def test_a_wrong_question_is_refused(api: ManagerApi, wrong: dict[str, str]) -> None:
    await api.admin.call("GET", "/v1/audit?" + urlencode(wrong), expect=400)


async def _insert(pool: Pool, action: str, number: int) -> None:
    for _ in range(number):
        await pool.execute("insert into events (id, actor, action) values ($1, 'ada', $2)", new_uuid(), action)
