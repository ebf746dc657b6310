"""Resource groups by the API: made and deleted by operators, and not taken away from what is in them."""

from __future__ import annotations

from uuid import UUID

from headrace.common.contracts.ids import new_uuid
from headrace.common.runtime.clock import utc_now
from headrace.manager.loops.placement import PlacementLoop
from tests.support.worlds.manager_api import ManagerApi

ALL = "/v1/resource-groups"


async def test_operators_make_groups_that_services_and_machines_name(api: ManagerApi) -> None:
    service = {"name": "chat", "project": "default", "runtime": "cmd", "image": "img", "resource_group": "lab"}
    refused = await api.admin.call("POST", "/v1/services", service, expect=400)
    assert refused["errors"][0]["allowed"] == "one of default, the groups that project default may use"
    await api.admin.call("POST", ALL, {"name": "lab"})
    await api.admin.call("POST", ALL, {"name": "lab"}, expect=409)
    await api.admin.call("POST", "/v1/services", {**service, "replicas": 0})
    member = await api.user("ann", default="member")
    assert [group["name"] for group in (await member.call("GET", ALL))["items"]] == ["default", "lab"]
    page = await member.call("GET", f"{ALL}?limit=1")
    assert [group["name"] for group in (await member.call("GET", f"{ALL}?cursor={page['next']}"))["items"]] == ["lab"]
    await member.call("POST", ALL, {"name": "mine"}, expect=403)
    await member.call("DELETE", f"{ALL}/lab", expect=403)
    await member.close()


async def test_a_group_is_deleted_once_nothing_is_in_it(api: ManagerApi) -> None:
    for name in ("lab", "empty"):
        await api.admin.call("POST", ALL, {"name": name})
    service = {"name": "chat", "project": "default", "runtime": "cmd", "image": "img", "resource_group": "lab"}
    await api.admin.call("POST", "/v1/services", {**service, "replicas": 0})
    refused = await api.admin.call("DELETE", f"{ALL}/lab", expect=409)
    assert refused["detail"] == "resource group lab has 1 service; remove them first"
    await api.admin.call("DELETE", "/v1/services/chat")
    refused = await api.admin.call("DELETE", f"{ALL}/lab", expect=409)
    assert (refused["type"].rpartition(":")[2], "try again when" in refused["detail"]) == ("in-use", True)
    assert "it stays" in (await api.admin.call("DELETE", f"{ALL}/default", expect=409))["detail"]
    await api.admin.call("DELETE", f"{ALL}/empty")
    await api.admin.call("DELETE", f"{ALL}/empty", expect=404)
    actions = [event["action"] for event in (await api.admin.call("GET", "/v1/audit?action=resource-group.*"))["items"]]
    assert actions == ["resource-group.deleted", "resource-group.created", "resource-group.created"]


async def _why(api: ManagerApi, name: str) -> tuple[str, str]:
    """Run one placement pass; return why the service's replica waits."""
    await PlacementLoop(api.pool, utc_now, lambda *_: None).one_pass()
    row = await api.pool.fetchrow(
        "select x.reason_code, x.reason_text from sessions x join services s on s.id = x.service_id where s.name = $1",
        name,
    )
    return row["reason_code"], row["reason_text"]


async def test_a_group_is_for_all_projects_or_for_those_that_operators_name(api: ManagerApi) -> None:
    call = api.admin.call
    await call("POST", "/v1/projects", {"name": "vision"})
    made = await call("POST", ALL, {"name": "lab", "projects": ["vision"]})
    assert made["projects"] == ["vision"]
    await call("POST", ALL, {"name": "bad", "projects": ["nobody"]}, expect=404)
    service = {"name": "chat", "project": "default", "runtime": "cmd", "image": "img", "resource_group": "lab"}
    refused = await call("POST", "/v1/services", service, expect=400)
    assert refused["errors"] == [
        {
            "field": "resource_group",
            "found": "lab",
            "allowed": "one of default, the groups that project default may use",
            "pointer": "#/resource_group",
        }
    ]
    dry = await call("POST", "/v1/resolutions", {"create": service}, expect=200)
    assert [(problem["field"], problem["type"]) for problem in dry["problems"]] == [
        ("resource_group", "invalid-request")
    ]
    trial = {"project": "default", "runtime": "cmd", "image": "img", "resource_group": "lab"}
    await call("POST", "/v1/validations", trial, expect=400)
    member = await api.user("ann", default="member")
    assert [group["projects"] for group in (await member.call("GET", ALL))["items"]] == [None, []]
    await member.call("PATCH", f"{ALL}/lab", {"projects": None}, expect=403)
    await member.close()
    await call("PATCH", f"{ALL}/none", {"projects": None}, expect=404)
    await call("PATCH", f"{ALL}/lab", {"projects": ["default", "vision"]})
    await call("POST", "/v1/services", service)
    api.behind.poked.clear()
    assert (await call("PATCH", f"{ALL}/lab", {"projects": None}))["projects"] is None
    assert api.behind.poked == ["placement"]


async def test_a_replica_whose_project_may_not_use_its_group_waits_and_says_so(api: ManagerApi) -> None:
    call = api.admin.call
    await call("POST", "/v1/projects", {"name": "vision"})
    await call("POST", ALL, {"name": "lab"})
    await api.machine("m-1")
    await call("PATCH", "/v1/agents/m-1", {"resource_group": "lab"})
    made = await call(
        "POST",
        "/v1/services",
        {"name": "chat", "project": "default", "runtime": "cmd", "image": "img", "resource_group": "lab"},
    )
    await api.pool.execute(
        "insert into sessions (id, kind, project_id, service_id, revision_id, resource_group, created_by) "
        "select $1, 'inference', project_id, id, revision_id, resource_group, created_by from services where id = $2",
        new_uuid(),
        UUID(made["id"]),
    )
    await call("PATCH", f"{ALL}/lab", {"projects": ["vision"]})
    code, text = await _why(api, "chat")
    assert code == "group-not-allowed"
    assert text.startswith("its project may not use resource group lab, so it waits until an operator lets it")
    await call("PATCH", f"{ALL}/lab", {"projects": ["default"]})
    assert (await _why(api, "chat"))[0] != "group-not-allowed"


async def test_a_project_has_a_default_group(api: ManagerApi) -> None:
    call = api.admin.call
    for name in ("lab", "other"):
        await call("POST", ALL, {"name": name})
    await call("POST", "/v1/projects", {"name": "wrong", "resource_group": "moon"}, expect=400)
    made = await call("POST", "/v1/projects", {"name": "vision", "resource_group": "lab"})
    assert made["resource_group"] == "lab"
    service = {"project": "vision", "runtime": "cmd", "image": "img", "replicas": 0}
    seen = [
        (await call("POST", "/v1/services", {**service, "name": name, **group}))["resource_group"]
        for name, group in (("one", {}), ("two", {"resource_group": "other"}))
    ]
    assert seen == ["lab", "other"]
    await call("PATCH", "/v1/projects/vision", {"quota": {"cpu": 100}})  # counted alone from here on
    assert (await call("POST", "/v1/services", {**service, "name": "three"}))["resource_group"] == "lab"
    assert (await call("PATCH", "/v1/projects/vision", {"resource_group": None}))["resource_group"] is None
    assert (await call("POST", "/v1/services", {**service, "name": "four"}))["resource_group"] == "default"
    await call("PATCH", ALL + "/other", {"projects": ["default"]})
    refused = await call("PATCH", "/v1/projects/vision", {"resource_group": "other"}, expect=400)
    assert refused["errors"][0]["allowed"].startswith("one of default, lab")
    await call("POST", ALL, {"name": "spare"})
    await call("PATCH", "/v1/projects/vision", {"resource_group": "spare"})
    in_use = await call("DELETE", f"{ALL}/spare", expect=409)
    assert in_use["detail"] == "resource group spare is the default of 1 project; give them another"


async def test_a_machine_moves_to_another_group_and_what_runs_there_goes_on(api: ManagerApi) -> None:
    call = api.admin.call
    await call("POST", ALL, {"name": "lab"})
    await call("POST", "/v1/services", {"name": "chat", "project": "default", "runtime": "cmd", "image": "img"})
    session, _ = await api.runs("chat", agent="m-1")
    api.behind.poked.clear()
    moved = await call("PATCH", "/v1/agents/m-1", {"resource_group": "lab"})
    assert (moved["resource_group"], api.behind.poked) == ("lab", ["placement"])
    assert await api.pool.fetchval("select status from sessions where id = $1", session) == "running"
    refused = await call("PATCH", "/v1/agents/m-1", {"resource_group": "moon"}, expect=400)
    assert refused["errors"][0]["allowed"] == "one of default, lab"
    await call("PATCH", "/v1/agents/none", {"resource_group": "lab"}, expect=404)
    event = (await call("GET", "/v1/audit?action=agent.updated"))["items"][0]
    assert event["details"] == {"agent": "m-1"}
    assert (event["before"]["resource_group"], event["after"]["resource_group"]) == ("default", "lab")


async def _placed(api: ManagerApi, revision: int) -> tuple[str, str]:
    """Return on which machines replicas of the revision are placed, and where that comes from."""
    found = await api.admin.call("GET", f"/v1/services/chat/revisions/{revision}")
    return found["effective"]["resource_group"], found["origins"]["resource_group"]["source"]


async def test_an_update_rolls_a_service_out_in_another_group_and_a_rollback_takes_it_back(api: ManagerApi) -> None:
    call, chat = api.admin.call, "/v1/services/chat"
    for name in ("lab", "other"):
        await call("POST", ALL, {"name": name})
    spec = {"runtime": "cmd", "image": "img"}
    await call("POST", "/v1/services", {"name": "chat", "project": "default", **spec})
    await api.runs("chat")
    change = {"resource_group": "lab"}
    dry = await call("POST", "/v1/resolutions", {"service": "chat", "update": change}, expect=200)
    assert (dry["effect"], dry["revision"], dry["problems"]) == ("rollout", 2, [])
    assert dry["rolls_out"] == [{"field": "resource_group", "before": "default", "after": "lab"}]
    assert "lab" in dry["fit"]["reason"]["text"]
    changed = await call("PATCH", chat, change)
    assert (changed["resource_group"], changed["revision"], changed["served_revision"]) == ("lab", 2, 1)
    assert (changed["effective"]["image"], changed["phase"]) == ("img", "deploying")
    assert [await _placed(api, number) for number in (1, 2)] == [("default", "baseline"), ("lab", "request")]
    again = await call("PATCH", chat, change)
    assert (again["revision"], again["note"]["code"]) == (2, "unchanged")
    other = await call("PATCH", chat, {"spec": {**spec, "environ": {"A": "b"}}})
    assert (other["revision"], other["resource_group"], await _placed(api, 3)) == (3, "lab", ("lab", "request"))
    assert (await call("POST", f"{chat}/restart"))["resource_group"] == "lab"
    back = await call("POST", f"{chat}/rollback", {"revision": 1})
    assert (back["revision"], back["resource_group"], back["note"]["code"]) == (1, "default", "unchanged")
    await call("PATCH", "/v1/projects/default", {"resource_group": "other"})
    emptied = await call("PATCH", chat, {"resource_group": None})
    assert (emptied["resource_group"], await _placed(api, emptied["revision"])) == ("other", ("other", "project"))
    history = (await call("GET", "/v1/audit?action=service.updated"))["items"]
    assert (history[0]["before"]["resource_group"], history[0]["after"]["resource_group"]) == ("default", "other")


async def test_a_group_that_serves_stays_and_one_that_may_not_be_used_is_refused(api: ManagerApi) -> None:
    call, chat = api.admin.call, "/v1/services/chat"
    for name in ("lab", "closed"):
        await call("POST", ALL, {"name": name})
    await call("POST", "/v1/projects", {"name": "vision"})
    await call("PATCH", f"{ALL}/closed", {"projects": ["vision"]})
    service = {"name": "chat", "project": "default", "runtime": "cmd", "image": "img", "resource_group": "lab"}
    await call("POST", "/v1/services", service)
    await api.runs("chat")
    for group in ("closed", "moon"):
        refused = await call("PATCH", chat, {"resource_group": group}, expect=400)
        assert refused["errors"][0]["allowed"] == "one of default, lab, the groups that project default may use"
        dry = await call(
            "POST", "/v1/resolutions", {"service": "chat", "update": {"resource_group": group}}, expect=200
        )
        assert ([problem["field"] for problem in dry["problems"]], dry["fit"]) == (["resource_group"], None)
    await call("PATCH", chat, {"resource_group": "default"})
    in_use = await call("DELETE", f"{ALL}/lab", expect=409)
    assert in_use["detail"] == "resource group lab has 1 service; remove them first"
    await call("PATCH", f"{ALL}/lab", {"projects": ["vision"]})
    refused = await call("POST", f"{chat}/rollback", {"revision": 1}, expect=400)
    assert refused["errors"][0]["found"] == "lab"
    assert (await api.admin.service("chat"))["resource_group"] == "default"


async def test_revisions_of_older_versions_keep_the_group_that_their_service_had(api: ManagerApi) -> None:
    call, chat = api.admin.call, "/v1/services/chat"
    await call("POST", ALL, {"name": "lab"})
    await call("POST", "/v1/services", {"name": "chat", "project": "default", "runtime": "cmd", "image": "img"})
    await api.pool.execute("update revisions set resolved = resolved - 'resource_group', origins = null")
    unchanged = await call("PATCH", chat, {"spec": {"runtime": "cmd", "image": "img"}})
    assert (unchanged["revision"], unchanged["note"]["code"]) == (1, "unchanged")
    await call("PATCH", chat, {"resource_group": "lab"})
    first = await call("GET", f"{chat}/revisions/1")
    assert (first["effective"]["resource_group"], first["origins"]) == ("default", {})
    back = await call("POST", f"{chat}/rollback", {"revision": 1})
    assert (back["revision"], back["resource_group"]) == (3, "default")
