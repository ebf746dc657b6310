"""Conditional requests: changes of what was changed meanwhile are refused, and what a reader has already is not sent again."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import httpx

from headrace.common.contracts.http.page import Changeable
from headrace.manager.api.app import ENDPOINTS
from tests.support.api import Api
from tests.support.worlds.manager_api import ManagerApi

SERVICE: Final = {"name": "echo", "project": "default", "runtime": "cmd", "image": "img"}
RULE: Final = {
    "source": "kernel",
    "metric": "gpu_utilization",
    "comparator": "GREATER_THAN",
    "threshold": 80,
    "step": 1,
    "min_replicas": 1,
    "max_replicas": 3,
}
CHANGES: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "/v1/services/echo": ("PATCH", {"description": "new"}),
    "/v1/projects/p": ("PATCH", {"description": "new"}),
    "/v1/resource-presets/small": ("PATCH", {"slots": {"cpu": 2}}),
    "/v1/projects/default/webhooks/hook": ("PATCH", {"kinds": ["service.*"]}),
    "/v1/folders": ("PATCH", {"name": "new"}),
    "/v1/projects/default/secrets/hub": ("PUT", {"value": "new"}),
    "/v1/agents/agent-1": ("PATCH", {"addresses": ["10.0.0.9"]}),
    "/v1/services/echo/tokens": ("PATCH", {"name": "new"}),
    "/v1/projects/default/tokens": ("PATCH", {"share": 5}),
    "/v1/services/echo/clients": ("PATCH", {"share": 5}),
    "/v1/services/echo/rules": ("PATCH", {"threshold": 90}),
    "/v1/projects/default/members": ("PUT", {"role": "viewer"}),
    "/v1/users/ann/keys": ("PATCH", {"name": "new"}),
    "/v1/users": ("PATCH", {"operator": True}),
}
"""A change of each kind of thing, at its path or at that of the list that it is in."""


async def send(api: Api, method: str, path: str, tag: str, body: object = None) -> httpx.Response:
    return await api.http.request(method, path, json=body, headers={"If-Match": f'"{tag}"'})


async def prepared(api: ManagerApi) -> None:
    call = api.admin.call
    await call("POST", "/v1/services", SERVICE)
    await call("POST", "/v1/projects", {"name": "p"})
    await call("POST", "/v1/resource-presets", {"name": "small", "slots": {"cpu": 1}})
    await call("PUT", "/v1/projects/default/secrets/hub", {"value": "hf"})
    await call("PUT", "/v1/projects/default/secrets/key", {"value": "k" * 24})
    hook = {"name": "hook", "url": "https://hooks.example.com/in", "secret": "key"}
    await call("POST", "/v1/projects/default/webhooks", hook)
    await call("POST", "/v1/folders", {"name": "papers", "project": "default"})
    await api.machine("agent-1")
    await api.user("ann", default="member")
    for path in ("/v1/services/echo/tokens", "/v1/projects/default/tokens"):
        await call("POST", path, {})
    await call("POST", "/v1/services/echo/clients", {"name": "app"})
    await call("POST", "/v1/services/echo/rules", RULE)


async def test_of_each_thing_a_change_of_what_was_changed_meanwhile_is_refused(api: ManagerApi) -> None:
    await prepared(api)
    for place, (method, body) in CHANGES.items():
        found, path = await api.admin.call("GET", place), place
        if "items" in found:
            found = found["items"][-1]
            path = f"{place}/{found.get('id', found.get('user'))}"
        tag = found["etag"]
        assert tag, path
        changed = await send(api.admin, method, path, tag, body)
        assert changed.status_code == 200, changed.text
        assert changed.headers["ETag"] == f'"{changed.json()["etag"]}"'
        assert changed.json()["etag"] != tag
        for again in (await send(api.admin, method, path, tag, body), await send(api.admin, "DELETE", path, tag)):
            if again.status_code == 405:  # users
                continue
            assert again.status_code == 412, f"{path}: {again.text}"
            (error,) = again.json()["errors"]
            assert error == {"field": "If-Match", "found": tag, "allowed": changed.json()["etag"]}
        assert (await send(api.admin, method, path, changed.json()["etag"], body)).status_code == 200


async def test_who_is_no_member_any_more_is_not_made_one_by_who_saw_a_member(api: ManagerApi) -> None:
    await api.user("ann", default="member")
    path = "/v1/projects/default/members/ann"
    (seen,) = (
        one for one in (await api.admin.call("GET", "/v1/projects/default/members"))["items"] if one["user"] == "ann"
    )
    await api.admin.call("DELETE", path)
    refused = await send(api.admin, "PUT", path, seen["etag"], {"role": "owner"})
    assert refused.status_code == 412, refused.text
    assert "ann as a member of project default" in refused.json()["detail"]
    made = await api.admin.call("PUT", path, {"role": "member"})
    assert made["etag"] == seen["etag"]
    assert (await send(api.admin, "DELETE", path, made["etag"])).status_code == 204


async def test_every_change_of_a_thing_with_an_entity_tag_takes_if_match() -> None:
    changeable = {
        endpoint.path
        for endpoint in ENDPOINTS
        for status, reply in endpoint.replies.items()
        if status == 200 and reply.model is not None and issubclass(reply.model, Changeable)
    }
    unconditional = {
        f"{endpoint.method} {endpoint.path}"
        for endpoint in ENDPOINTS
        if endpoint.method != "GET" and endpoint.path in changeable and not endpoint.conditional
    }
    assert unconditional == {  # what comes of these was not there before
        "POST /v1/folder-invitations/{invitation}/accept",
        "POST /v1/trash/{folder}/restore",
    }


async def test_of_two_who_change_what_both_saw_one_is_refused(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/services", SERVICE)
    seen = (await api.admin.call("GET", "/v1/services/echo"))["etag"]
    answers = await asyncio.gather(
        *(send(api.admin, "PATCH", "/v1/services/echo", seen, {"description": f"by {n}"}) for n in range(6))
    )
    assert sorted(answer.status_code for answer in answers) == [200, *[412] * 5]


async def test_every_action_on_a_service_looks_at_its_tag(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/services", SERVICE)
    actions = [
        endpoint
        for endpoint in ENDPOINTS
        if endpoint.conditional
        and endpoint.method == "POST"
        and endpoint.tag == "services"
        and "{client}" not in endpoint.path
    ]
    assert len(actions) >= 9
    bodies = {"rollback": {"revision": 1}, "promote": {}, "pause": {}, "abort": {}}
    for endpoint in actions:
        path = endpoint.path.format(service="echo")
        refused = await send(api.admin, "POST", path, "0" * 16, bodies.get(path.rpartition("/")[2]))
        assert refused.status_code == 412, f"{path}: {refused.text}"


async def test_what_only_the_system_changes_does_not_count_for_a_change(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/services", SERVICE)
    before = await api.admin.http.get("/v1/services/echo")
    await api.runs("echo")
    after = await api.admin.http.get("/v1/services/echo")
    assert before.headers["ETag"] != after.headers["ETag"]
    assert before.json()["etag"] == after.json()["etag"]
    headers = {"If-Match": before.headers["ETag"]}  # of the answer, as HTTP has it
    assert (await api.admin.http.patch("/v1/services/echo", json={"replicas": 2}, headers=headers)).status_code == 200
    assert (await api.admin.http.patch("/v1/services/echo", json={"replicas": 3}, headers=headers)).status_code == 412


async def test_what_a_reader_has_already_is_not_sent_again(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/services", SERVICE)
    for path in ("/v1/services/echo", "/v1/services", "/v1/openapi.json", "/v1/version"):
        first = await api.admin.http.get(path)
        tag = first.headers["ETag"]
        for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
            again = await api.admin.http.get(path, headers={"If-None-Match": known})
            assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
        other = await api.admin.http.get(path, headers={"If-None-Match": '"other"'})
        assert (other.status_code, other.content) == (200, first.content)


async def test_if_match_says_what_is_no_entity_tag(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/services", SERVICE)
    seen = (await api.admin.call("GET", "/v1/services/echo"))["etag"]
    for given, status in (
        ("*", 200),
        (f'"x", "{seen}"', 200),
        (f'W/"{seen}"', 412),
        (seen, 400),
        ('"a" "b"', 400),
        (",", 400),
        ("", 400),
    ):
        changed = await api.admin.http.patch(
            "/v1/services/echo", json={"description": ""}, headers={"If-Match": given}
        )  # what it is already
        assert changed.status_code == status, f"{given}: {changed.text}"
