"""Many callers at once: names, quotas, revisions and folders stay consistent, and nobody gets a 5xx."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from tests.support.worlds.manager_api import ManagerApi


async def statuses(api: ManagerApi, requests: list[tuple[str, str, Any]]) -> Counter[int]:
    """Make the requests at once and count the answers."""
    answers = await asyncio.gather(
        *(api.admin.http.request(method, path, json=body) for method, path, body in requests)
    )
    assert all(answer.status_code < 500 for answer in answers), [a.text for a in answers if a.status_code >= 500]
    return Counter(answer.status_code for answer in answers)


async def test_one_of_many_gets_the_name(api: ManagerApi) -> None:
    body = {"name": "chat", "runtime": "cmd"}
    assert await statuses(api, [("POST", "/v1/services", body)] * 10) == {201: 1, 409: 9}
    assert await api.pool.fetchval("select count(*) from revisions") == 1


async def test_a_quota_cannot_be_passed_together(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/projects", {"name": "small", "quota": {"cpu": 4}})
    bodies = [{"name": f"s{n}", "runtime": "cmd", "project": "small"} for n in range(10)]
    assert await statuses(api, [("POST", "/v1/services", body) for body in bodies]) == {201: 4, 409: 6}
    names = [item["name"] for item in (await api.admin.call("GET", "/v1/services?project=small"))["items"]]
    await api.admin.call("PATCH", f"/v1/services/{names[0]}", {"replicas": 0})
    grown = await statuses(api, [("PATCH", f"/v1/services/{name}", {"replicas": 2}) for name in names])
    assert grown[200] <= 1
    assert (await api.admin.call("GET", "/v1/projects/small/usage"))["used"]["cpu"] in {"3", "4"}


async def test_updates_at_once_are_revisions_one_after_the_other(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/services", {"name": "chat", "runtime": "cmd"})
    changes = [{"spec": {"runtime": "cmd", "image": f"img:{n}"}, "message": str(n)} for n in range(8)]
    assert await statuses(api, [("PATCH", "/v1/services/chat", change) for change in changes]) == {200: 8}
    revisions = (await api.admin.call("GET", "/v1/services/chat/revisions"))["items"]
    assert [revision["number"] for revision in revisions] == list(range(1, 10))
    shown = await api.admin.service("chat")
    assert (shown["revision"], shown["image"]) == (9, f"img:{revisions[-1]['message']}")
    history = (await api.admin.call("GET", "/v1/services/chat/history"))["items"]
    assert [entry["details"]["revision"] for entry in history] == list(range(9, 0, -1))


async def test_a_folder_is_deleted_or_used_never_both(api: ManagerApi) -> None:
    for attempt in range(5):
        folder = await api.admin.folder(f"m{attempt}", {})
        body = {"name": f"s{attempt}", "runtime": "cmd", "folder": folder}
        answers = await statuses(api, [("POST", "/v1/services", body), ("DELETE", f"/v1/folders/{folder}", None)])
        created = (await api.admin.http.get(f"/v1/services/s{attempt}")).status_code == 200
        there = (await api.admin.http.get(f"/v1/folders/{folder}")).status_code == 200
        assert created == there, answers


async def test_everything_at_once_on_one_service_ends_in_an_answer(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/services", {"name": "chat", "runtime": "cmd"})
    path = "/v1/services/chat"
    rule = {
        "source": "kernel",
        "metric": "cpu_util",
        "comparator": "LESS_THAN",
        "threshold": 1,
        "step": 1,
        "max_replicas": 2,
    }
    requests: list[tuple[str, str, Any]] = [
        ("PATCH", path, {"replicas": 2}),
        ("POST", f"{path}/stop", None),
        ("POST", f"{path}/start", None),
        ("POST", f"{path}/retry", None),
        ("POST", f"{path}/rollback", {"revision": 1}),
        ("POST", f"{path}/tokens", {}),
        ("POST", f"{path}/rules", rule),
        ("GET", path, None),
        ("DELETE", path, None),
        ("POST", "/v1/services", {"name": "other", "runtime": "cmd"}),
    ]
    answers = await statuses(api, requests * 3)
    assert set(answers) <= {200, 201, 202, 204, 404, 409}
