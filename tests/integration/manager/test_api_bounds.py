"""Nothing of which callers can make more has no bound: at it they are refused, with what was found and what is allowed."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from headrace.common.db.pool import Pool
from tests.support.worlds.manager_api import ManagerApi, serving

FEW = {
    "services_per_project": 2,
    "folders_per_project": 2,
    "uploads_per_project": 2,
    "validations_per_project": 2,
    "members_per_project": 2,
    "revisions_per_service": 3,
    "tokens_per_service": 2,
    "tokens_per_project": 2,
    "clients_per_service": 2,
    "rules_per_service": 2,
    "keys_per_user": 3,
}
SPEC = {"runtime": "cmd", "image": "img"}
RULE = {
    "source": "kernel",
    "metric": "cpu_util",
    "comparator": "GREATER_THAN",
    "threshold": 1,
    "step": 1,
    "max_replicas": 2,
}
HEADERS = {"Tus-Resumable": "1.0.0", "Upload-Length": "5"}


@pytest.fixture
async def api(pool: Pool, tmp_path: Path) -> AsyncIterator[ManagerApi]:
    async with serving(pool, tmp_path, **FEW) as running:
        yield running


KINDS: dict[str, tuple[str, Any]] = {
    "services": ("/v1/services", lambda n: SPEC | {"name": f"s{n}", "replicas": 0}),
    "folders": ("/v1/folders", lambda n: {"name": f"f{n}"}),
    "validations that have not ended": ("/v1/validations", lambda _: SPEC),
    "tokens that have not expired": ("/v1/projects/default/tokens", lambda _: {}),
    "clients": ("/v1/services/chat/clients", lambda n: {"name": f"c{n}"}),
    "rules": ("/v1/services/chat/rules", lambda _: RULE),
}


@pytest.mark.parametrize("kind", KINDS)
async def test_the_bound_of_a_project_or_service_holds_for_many_at_once(api: ManagerApi, kind: str) -> None:
    path, body = KINDS[kind]
    if "chat" in path:
        await api.admin.call("POST", "/v1/services", SPEC | {"name": "chat"})
    answers = await asyncio.gather(*(api.admin.http.post(path, json=body(number)) for number in range(5)))
    assert sorted(answer.status_code for answer in answers) == [201] * 2 + [409] * 3, [a.text for a in answers]
    problem = next(answer.json() for answer in answers if answer.status_code == 409)
    assert (problem["field"], problem["found"], problem["allowed"]) == (kind, f"2 {kind}", "at most 2")


async def test_the_bounds_on_keys_and_open_uploads_hold_for_many_at_once(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/folders", {"name": "m"})
    await api.admin.call("POST", "/v1/users", {"name": "one"})
    keys = await asyncio.gather(*(api.admin.http.post("/v1/users/one/keys", json={}) for _ in range(6)))
    assert sorted(answer.status_code for answer in keys) == [201] * 3 + [409] * 3
    paths = [{"Upload-Metadata": f"path {base64.b64encode(f'{n}'.encode()).decode()}"} for n in range(6)]
    uploads = await asyncio.gather(
        *(api.admin.http.post("/v1/folders/m/uploads", headers=HEADERS | path) for path in paths)
    )
    assert sorted(answer.status_code for answer in uploads) == [201] * 2 + [409] * 4


async def test_tokens_count_until_they_expire(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/services", SPEC | {"name": "chat"})
    path = "/v1/services/chat/tokens"
    made = [await api.admin.call("POST", path, {}) for _ in range(2)]
    await api.admin.call("DELETE", f"{path}/{made[0]['id']}")
    await api.admin.call("POST", path, {}, expect=409)  # a revoked one is told to app-proxies until it expires
    await api.pool.execute("update tokens set expires_at = now() where id = $1", made[0]["id"])
    await api.admin.call("POST", path, {})


async def test_open_uploads_members_and_keys_have_a_bound(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/folders", {"name": "m"})
    for number, status in enumerate((201, 201, 409)):
        path = {"Upload-Metadata": f"path {base64.b64encode(f'{number}'.encode()).decode()}"}
        answer = await api.admin.http.post("/v1/folders/m/uploads", headers=HEADERS | path)
        assert answer.status_code == status, answer.text
    await api.user("one", default="member")
    await api.admin.call("POST", "/v1/users", {"name": "two"})
    await api.admin.call("PUT", "/v1/projects/default/members/two", {"role": "viewer"}, expect=409)
    await api.admin.call("PUT", "/v1/projects/default/members/one", {"role": "viewer"})  # whoever is in may change
    for status in (201, 201, 409):
        await api.admin.call("POST", "/v1/users/one/keys", {}, expect=status)


async def test_a_revision_that_serves_makes_no_room_for_newer_ones(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/services", SPEC | {"name": "chat", "replicas": 0})
    await api.pool.execute("update services set served_revision_id = revision_id")
    for number in range(6):
        await api.admin.call("PATCH", "/v1/services/chat", {"spec": SPEC | {"image": f"img{number}"}})
    assert (await api.admin.call("GET", "/v1/services/chat"))["served_revision"] == 1
    kept = (await api.admin.call("GET", "/v1/services/chat/revisions"))["items"]
    assert [revision["number"] for revision in kept] == [1, 5, 6, 7]


async def test_the_oldest_revisions_that_nothing_uses_make_room(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/services", SPEC | {"name": "chat"})
    await api.runs("chat")  # of revision 1, which stays
    for number in range(6):
        await api.admin.call("PATCH", "/v1/services/chat", {"spec": SPEC | {"environ": {"A": f"{number}"}}})
    kept = (await api.admin.call("GET", "/v1/services/chat/revisions"))["items"]
    assert [revision["number"] for revision in kept] == [1, 5, 6, 7]
