"""Many callers at once: names, quotas, revisions and folders stay consistent, and nobody gets a 5xx."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.support.wait import eventually
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


@asynccontextmanager
async def held(api: ManagerApi, sql: str) -> AsyncIterator[Callable[..., Awaitable[asyncio.Task[Any]]]]:
    """Hold what the SQL locks, as a change that has not committed. Yields what starts a request, and returns once it waits."""
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    started: list[asyncio.Task[Any]] = []

    async def start(*request: Any, expect: int) -> asyncio.Task[Any]:
        started.append(asyncio.create_task(api.admin.call(*request, expect=expect)))

        async def all_wait() -> bool:
            return bool(await api.pool.fetchval(waiting) == len(started))

        await eventually(all_wait)
        return started[-1]

    async with api.pool.acquire() as con, con.transaction():
        await con.execute(sql)
        yield start
    await asyncio.gather(*started)


async def test_a_change_of_the_resource_group_and_one_of_something_else_do_not_undo_each_other(api: ManagerApi) -> None:
    chat, lock = "/v1/services/chat", "select 1 from services for update"
    await api.admin.call("POST", "/v1/resource-groups", {"name": "lab"})
    await api.admin.call("POST", "/v1/services", {"name": "chat", "runtime": "cmd"})
    async with held(api, lock) as start:
        await start("PATCH", chat, {"resource_group": "lab"}, expect=200)
        await start("PATCH", chat, {"spec": {"runtime": "cmd", "image": "img:1"}}, expect=200)
    shown = await api.admin.service("chat")
    assert (shown["revision"], shown["resource_group"], shown["image"]) == (3, "lab", "img:1")
    async with held(api, lock) as start:
        await start("PATCH", chat, {"spec": {"runtime": "cmd", "image": "img:2"}}, expect=200)
        refused = await start("PATCH", chat, {"resource_group": "default"}, expect=409)
    assert "revision 4 of service chat is the current one by now" in (await refused)["detail"]
    shown = await api.admin.service("chat")
    assert (shown["revision"], shown["resource_group"], shown["image"]) == (4, "lab", "img:2")


async def test_a_change_that_waits_for_the_renaming_of_its_folders_keeps_their_new_names(api: ManagerApi) -> None:
    for name, usage in (("weights", "model"), ("corpus", "data")):
        await api.admin.call("POST", "/v1/folders", {"name": name, "usage_mode": usage})
    spec = {"runtime": "cmd", "image": "img", "folder": "weights", "extra_mounts": [{"folder": "corpus"}]}
    await api.admin.call("POST", "/v1/services", {"name": "chat", "runtime": "cmd"})
    async with held(api, "update folders set name = 'new-' || name") as start:
        await start("PATCH", "/v1/services/chat", {"spec": spec}, expect=200)
        await start("POST", "/v1/services", {"name": "other", **spec}, expect=201)
    for name in ("chat", "other"):
        kept = (await api.admin.call("GET", f"/v1/services/{name}/revisions"))["items"][-1]["spec"]
        mount = {"folder": "new-corpus", "target": "/home/work/corpus", "read_only": True}
        assert (kept["folder"], kept["extra_mounts"]) == ("new-weights", [mount])
    again = await api.admin.call("PATCH", "/v1/services/chat", {"spec": kept})
    assert (again["revision"], again["note"]["code"]) == (2, "unchanged")


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
