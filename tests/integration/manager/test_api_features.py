"""Feature switches: operators keep a project from a feature; what uses it already goes on, and nothing uses it anew."""

from __future__ import annotations

from typing import Any

from tests.support.worlds.manager_api import ManagerApi

CHAT = "/v1/services/chat"
SPEC = {"runtime": "cmd", "image": "img"}
HOOK = {"name": "hook", "url": "https://hooks.example.com/x", "secret": "signing"}
HOOKS = "/v1/projects/default/webhooks"


async def switch(api: ManagerApi, **features: bool | None) -> Any:
    change = {name.replace("_", "-"): on for name, on in features.items()}
    return await api.admin.call("PATCH", "/v1/projects/default", {"features": change})


async def test_operators_switch_features_of_a_project_and_members_see_it(api: ManagerApi) -> None:
    call = api.admin.call
    made = await call("POST", "/v1/projects", {"name": "vision", "features": {"webhooks": False}})
    on = {"model-uris": True, "own-ports": True, "public-services": True}
    assert made["features"] == {**on, "webhooks": False}
    changed = await switch(api, own_ports=False, webhooks=True)
    assert changed["features"] == {**on, "own-ports": False, "webhooks": True}
    again = await switch(api, own_ports=None, public_services=False)
    assert [name for name, is_on in again["features"].items() if not is_on] == ["public-services"]
    refused = await call("PATCH", "/v1/projects/default", {"features": {"gpus": False}}, expect=400)
    assert refused["errors"][0]["field"] == "features.gpus"
    owner = await api.user("ann", default="owner")
    assert not (await owner.call("GET", "/v1/projects/default"))["features"]["public-services"]
    await owner.call("PATCH", "/v1/projects/default", {"features": {"public-services": True}}, expect=403)
    await owner.close()
    (entry,) = (await call("GET", "/v1/audit?action=project.updated&limit=1"))["items"]
    assert (entry["before"]["features_off"], entry["after"]["features_off"]) == (["own-ports"], ["public-services"])


async def test_what_would_use_a_feature_that_is_off_is_refused_and_what_uses_it_goes_on(api: ManagerApi) -> None:
    call = api.admin.call
    uses = {"open_to_public": True, "endpoint_port": 10_500}
    await call("POST", "/v1/services", {"name": "chat", **SPEC, **uses})
    await switch(api, public_services=False, own_ports=False, model_uris=False)
    new = {"name": "new", **SPEC, "open_to_public": True, "endpoint_port": 10_501, "model_uri": "hf://acme/tiny"}
    dry = await call("POST", "/v1/resolutions", {"create": new}, expect=200)
    problems = {(problem["field"], problem["allowed"]) for problem in dry["problems"]}
    assert problems >= {
        ("open_to_public", "false: operators have switched public-services off for project default"),
        ("endpoint_port", "none: operators have switched own-ports off for project default"),
        ("model_uri", "none, and a folder: operators have switched model-uris off for project default"),
    }
    for field in ("open_to_public", "endpoint_port", "model_uri"):
        refused = await call("POST", "/v1/services", {"name": "new", **SPEC, field: new[field]}, expect=400)
        assert {error["field"] for error in refused["errors"]} == {field}
        assert "switched" in refused["errors"][0]["allowed"]
    refused = await call("POST", "/v1/validations", {**SPEC, "model_uri": "hf://acme/tiny"}, expect=400)
    assert refused["errors"][0]["field"] == "model_uri"
    # what uses them goes on, and is changed in other ways
    assert (await call("PATCH", CHAT, {**uses, "description": "talks"}))["open_to_public"]
    await call("PATCH", CHAT, {"open_to_public": False, "endpoint_port": 0})
    for change in ({"open_to_public": True}, {"endpoint_port": 10_500}, {"spec": {**SPEC, "model_uri": "hf://a/b"}}):
        await call("PATCH", CHAT, change, expect=400)
        dry = await call("POST", "/v1/resolutions", {"service": "chat", "update": change}, expect=200)
        assert "switched" in dry["problems"][0]["detail"]
    await switch(api, public_services=None, own_ports=True)
    assert (await call("PATCH", CHAT, uses))["endpoint_port"] == 10_500


async def test_webhooks_that_are_switched_off_are_neither_made_nor_enabled(api: ManagerApi) -> None:
    call = api.admin.call
    await call("PUT", "/v1/projects/default/secrets/signing", {"value": "s" * 32})
    await call("POST", HOOKS, {**HOOK, "enabled": False})
    await switch(api, webhooks=False)
    said = "operators have switched webhooks off for project default"
    assert (await call("POST", HOOKS, {**HOOK, "name": "other"}, expect=403))["detail"] == said
    for change in ({"enabled": True}, {"url": "https://other.example.com/"}):
        assert (await call("PATCH", f"{HOOKS}/hook", change, expect=403))["detail"] == said
    assert (await call("PATCH", f"{HOOKS}/hook", {"kinds": ["service.*"]}))["kinds"] == ["service.*"]
    await switch(api, webhooks=None)
    assert (await call("PATCH", f"{HOOKS}/hook", {"enabled": True}))["enabled"]
