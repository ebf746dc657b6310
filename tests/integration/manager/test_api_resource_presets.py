"""Resource presets by the API: who may what, what services get of them, and that no revision changes with them."""

from __future__ import annotations

from typing import Any

from tests.support.worlds.manager_api import ManagerApi

ALL = "/v1/resource-presets"
SERVICE: dict[str, Any] = {"name": "chat", "project": "default", "runtime": "cmd", "image": "img", "replicas": 0}
GIB = 2**30


async def preset(api: ManagerApi, name: str = "large", *, project: str | None = None, **slots: Any) -> Any:
    body = {"name": name, "project": project, "slots": slots or {"cpu": 4, "mem": "8g"}}
    return await api.admin.call("POST", ALL, body)


async def slots_of(api: ManagerApi, service: str = "chat") -> dict[str, str]:
    found: dict[str, str] = (await api.admin.service(service))["slots"]
    return found


async def test_a_service_has_the_amounts_of_its_size_and_its_own_win(api: ManagerApi) -> None:
    await preset(api)
    asked = {**SERVICE, "size": "large", "slots": {"cpu": 2}}
    dry = await api.admin.call("POST", "/v1/resolutions", {"create": asked})
    assert dry["origins"]["slots.mem"] == {"source": "size", "path": "slots.mem", "file": None, "size": "large"}
    await api.admin.call("POST", "/v1/services", asked)
    assert await slots_of(api) == {"cpu": "2", "mem": str(8 * GIB)}
    revision = await api.admin.call("GET", "/v1/services/chat/revisions/1")
    assert (revision["spec"]["size"], revision["spec"]["slots"]) == ("large", {"cpu": "2"})
    sources = {path: origin["source"] for path, origin in revision["origins"].items() if path.startswith("slots.")}
    assert sources == {"slots.cpu": "request", "slots.mem": "size"}


async def test_a_revision_keeps_its_amounts_when_the_size_changes_or_is_deleted(api: ManagerApi) -> None:
    made = await preset(api)
    spec = {"runtime": "cmd", "image": "img", "size": "large"}
    await api.admin.call("POST", "/v1/services", {**SERVICE, "size": "large"})
    await api.admin.call("PATCH", f"{ALL}/large", {"slots": {"cpu": 6, "cuda.device": 1, "mem": None}})
    assert await slots_of(api) == {"cpu": "4", "mem": str(8 * GIB)}
    await api.admin.call("PATCH", "/v1/services/chat", {"spec": spec})
    assert await slots_of(api) == {"cpu": "6", "mem": str(GIB), "cuda.device": "1"}, (
        "the next revision has the new ones"
    )
    await api.admin.call("DELETE", f"{ALL}/{made['id']}")
    assert await slots_of(api) == {"cpu": "6", "mem": str(GIB), "cuda.device": "1"}
    await api.admin.call("POST", "/v1/services/chat/rollback", {"revision": 1})
    assert await slots_of(api) == {"cpu": "4", "mem": str(8 * GIB)}, "as it was made"
    again = {**spec, "environ": {"A": "b"}}
    refused = await api.admin.call("PATCH", "/v1/services/chat", {"spec": again}, expect=400)
    (error,) = refused["errors"]
    assert (error["field"], error["found"]) == ("size", "large")
    assert error["allowed"] == "none: project default has no resource preset; or no size, and slots"
    await preset(api, "small")
    dry = await api.admin.call("POST", "/v1/resolutions", {"service": "chat", "update": {"spec": again}})
    assert [(problem["field"], problem["allowed"]) for problem in dry["problems"]] == [
        ("size", "one of small; or no size, and slots")
    ]
    actions = [event["action"] for event in (await api.admin.call("GET", "/v1/audit"))["items"]]
    assert [action for action in reversed(actions) if action.startswith("resource-preset.")] == [
        "resource-preset.created",
        "resource-preset.updated",
        "resource-preset.deleted",
        "resource-preset.created",
    ]


async def test_owners_keep_their_projects_own_and_operators_those_for_all(api: ManagerApi) -> None:
    owner, member = await api.user("ann", default="owner"), await api.user("bob", default="member")
    await preset(api)
    body = {"name": "large", "slots": {"cpu": 1}}
    assert "only operators" in (await owner.call("POST", ALL, body, expect=403))["detail"]
    for method, change in (("PATCH", {"description": "x"}), ("DELETE", None)):
        await owner.call(method, f"{ALL}/large", change, expect=403)
        refused = await owner.call(method, f"{ALL}/large?project=default", change, expect=404)
        assert refused["detail"] == "project default has no resource preset large of its own"
    await member.call("POST", ALL, {**body, "project": "default"}, expect=403)
    own = await owner.call("POST", ALL, {**body, "project": "default"})
    await owner.call("POST", ALL, {**body, "project": "default"}, expect=409)
    await preset(api, "small")
    usable = (await member.call("GET", f"{ALL}?project=default"))["items"]
    assert [(one["name"], one["project"]) for one in usable] == [("large", "default"), ("small", None)]
    for_all = (await member.call("GET", f"{ALL}?limit=1"))["items"]
    assert [(one["name"], one["project"]) for one in for_all] == [("large", None)]
    await member.call("PATCH", f"{ALL}/large?project=default", {"description": "x"}, expect=403)
    assert (await member.call("GET", f"{ALL}/{own['id']}"))["slots"] == {"cpu": "1"}
    await member.call("POST", "/v1/services", {**SERVICE, "size": "large"})
    assert (await slots_of(api))["cpu"] == "1", "the project's own comes first"
    await owner.call("DELETE", f"{ALL}/large?project=default")
    for caller in (owner, member):
        await caller.close()


async def test_wrong_and_too_many_are_refused(api: ManagerApi) -> None:
    for slots, field in (({}, "slots"), ({"cpu": 0}, "slots.cpu"), ({"storage": "1g"}, "slots.storage")):
        refused = await api.admin.call("POST", ALL, {"name": "odd", "slots": slots}, expect=400)
        assert refused["errors"][0]["field"] == field
    await preset(api, "shared", **{"cuda.shares": "0.5"})
    for change in ({"slots": {"cuda.shares": None}}, {"slots": {"cuda.device": 1}}, {"slots": None}):
        assert (await api.admin.call("PATCH", f"{ALL}/shared", change, expect=400))["errors"][0]["field"] == "slots"
    assert (await api.admin.call("GET", f"{ALL}/shared"))["slots"] == {"cuda.shares": "0.5"}
    for number in range(99):
        await preset(api, f"size-{number}")
    assert (
        "at most 100"
        in (await api.admin.call("POST", ALL, {"name": "more", "slots": {"cpu": 1}}, expect=409))["detail"]
    )
    await preset(api, "of-the-project", project="default")


async def test_a_deleted_project_takes_its_sizes_with_it(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/projects", {"name": "vision"})
    await preset(api, project="vision")
    await api.admin.call("DELETE", "/v1/projects/vision")
    assert await api.pool.fetchval("select count(*) from resource_presets") == 0
