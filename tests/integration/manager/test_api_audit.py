"""`GET /v1/audit`: who changed what, from where; who may read it; pages over many changes that do not match."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from headrace.common.contracts.ids import new_uuid
from headrace.common.db.pool import Pool
from headrace.manager.api import audit as audit_api
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


async def test_one_change_is_read_by_its_id_by_operators_and_the_owners_of_its_project(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/projects", {"name": "search", "quota": {"cpu": 4}})
    owner = await api.user("ada", search="owner")
    member = await api.user("bob", search="member")
    await owner.call("PATCH", "/v1/projects/search", {"description": "finds things"})
    (entry,) = await listed(owner, project="search", action="project.updated")
    assert entry == await owner.call("GET", f"/v1/audit/{entry['id']}")
    assert (entry["before"], entry["after"]) == ({"description": ""}, {"description": "finds things"})
    (key,) = (await owner.call("GET", "/v1/users/ada/keys"))["items"]
    assert (entry["key_id"], entry["key"]) == (key["id"], key["name"])
    assert (await api.admin.call("GET", f"/v1/audit/{entry['id']}"))["actor"] == "ada"
    await member.call("GET", f"/v1/audit/{entry['id']}", expect=404)
    (of_all,) = await listed(api.admin, action="installation.created", limit="1")
    await owner.call("GET", f"/v1/audit/{of_all['id']}", expect=404)
    await api.admin.call("GET", f"/v1/audit/{new_uuid()}", expect=404)
    await api.admin.call("GET", "/v1/audit/x", expect=404)


@pytest.mark.parametrize("sent", [b"caf\xe9", b"x" * 1001, b"a\tb"])
async def test_a_message_that_is_none_is_refused_and_nothing_is_changed(api: ManagerApi, sent: bytes) -> None:
    answer = await api.admin.http.post("/v1/projects", json={"name": "search"}, headers={b"X-Headrace-Message": sent})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (400, "X-Headrace-Message")
    await api.admin.call("GET", "/v1/projects/search", expect=404)


async def test_as_csv_it_is_a_file_that_no_spreadsheet_runs(api: ManagerApi) -> None:
    formula = '=HYPERLINK("http://evil.example","x")'
    await api.admin.call("POST", "/v1/projects", {"name": "search", "description": formula})
    headers = {b"X-Headrace-Message": "=1+1, für „alle“".encode()}
    await api.admin.http.patch("/v1/projects/search", json={"description": "b"}, headers=headers)
    answer = await api.admin.http.get("/v1/audit?format=csv&action=project.*")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["Content-Disposition"]
    updated, created = csv.DictReader(io.StringIO(answer.text, newline=""))
    assert (updated["actor"], updated["message"]) == ("admin", "'=1+1, für „alle“")
    assert json.loads(created["after"])["description"] == json.loads(updated["before"])["description"] == formula
    assert not [cell for cell in (*updated.values(), *created.values()) if cell.startswith(("=", "+", "-", "@"))]


async def test_a_file_that_is_not_complete_says_where_it_goes_on(
    api: ManagerApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _insert(api.pool, "often.again", 12)
    monkeypatch.setattr(audit_api, "PAGE_LINES", 2)
    monkeypatch.setattr(audit_api, "MAX_CSV_PAGES", 3)

    async def rows(**query: str) -> list[list[str]]:
        answer = await api.admin.http.get("/v1/audit?" + urlencode({"format": "csv", "action": "often.again"} | query))
        return list(csv.reader(io.StringIO(answer.text, newline="")))[1:]

    first = await rows()
    assert [row[0] for row in first[6:]] == ["more"]
    second = await rows(cursor=first[6][1])
    assert len({row[0] for row in [*first[:6], *second[:6]]}) == 12
    assert [row[0] for row in (await rows(limit="3"))[3:]] == ["more"]
    monkeypatch.setattr(audit_api, "MAX_CSV_PAGES", 100)
    assert len(await rows()) == 12
    assert await refused(api.admin, 400, format="xml")


async def test_a_file_that_breaks_off_does_not_look_whole(api: ManagerApi, monkeypatch: pytest.MonkeyPatch) -> None:
    await _insert(api.pool, "often.again", 6)
    monkeypatch.setattr(audit_api, "PAGE_LINES", 2)
    read, pages = events.audit, []

    async def once(*given: Any, **more: Any) -> Any:
        pages.append(1)
        if len(pages) == 2:
            raise ConnectionError("the database is away")
        return await read(*given, **more)

    monkeypatch.setattr(events, "audit", once)
    with pytest.raises(httpx.HTTPError):
        await api.admin.http.get("/v1/audit?format=csv")
    assert len(pages) == 2
