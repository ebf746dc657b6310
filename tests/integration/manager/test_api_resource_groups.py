"""Resource groups by the API: made and deleted by operators, and not taken away from what is in them."""

from __future__ import annotations

from tests.support.worlds.manager_api import ManagerApi

ALL = "/v1/resource-groups"


async def test_operators_make_groups_that_services_and_machines_name(api: ManagerApi) -> None:
    service = {"name": "chat", "project": "default", "runtime": "cmd", "image": "img", "resource_group": "lab"}
    refused = await api.admin.call("POST", "/v1/services", service, expect=400)
    assert refused["errors"][0]["allowed"] == "one of default"
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
