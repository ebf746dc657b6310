"""Dry runs: what a creation or a change comes to, all that is wrong with it by field, and that nothing is changed."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.worlds.manager_api import ManagerApi

DEFINITION = """
models:
  - name: owl
    model_path: /models
    metadata: {title: Little Owl}
    service: {start_command: [serve, owl], port: 8000, health_check: {path: /up}}
"""
DEFAULTS = '[custom.resource_slots]\ncpu = 2\nmem = "2g"\n'
TABLES = ("services", "revisions", "events", "folders", "sessions", "scale_decisions", "imports")


async def rows(api: ManagerApi) -> dict[str, int]:
    """Return how many rows each table has that a creation or an update writes to."""
    there = [row["relname"] for row in await api.pool.fetch("select relname from pg_class where relkind = 'r'")]
    return {name: await api.pool.fetchval(f"select count(*) from {name}") for name in TABLES if name in there}


@pytest.fixture
async def owls(api: ManagerApi) -> ManagerApi:
    """A folder with a model; whatever is resolved, nothing is written."""
    await api.admin.folder("owls", {"model-definition.yaml": DEFINITION, "service-definition.toml": DEFAULTS})
    await api.admin.folder("corpus", {}, usage_mode="data")
    return api


async def resolved(api: ManagerApi, **asked: Any) -> Any:
    """Return a dry run, in which nothing was written to the database and no snapshot made."""
    before, files = await rows(api), sorted(str(path) for path in api.folders.rglob("*"))
    found = await api.admin.call("POST", "/v1/resolutions", asked)
    assert (await rows(api), sorted(str(path) for path in api.folders.rglob("*"))) == (before, files)
    return found


def fields(found: Any) -> dict[str, str]:
    """Return the type of each problem by its field or place."""
    return {
        problem["field"] if problem["path"] is None else problem["path"]: problem["type"]
        for problem in found["problems"]
    }


async def test_a_creation_is_resolved_as_it_is_then_made(owls: ManagerApi) -> None:
    new = {"name": "owl", "folder": "owls", "replicas": 3, "port": 9000}
    await owls.admin.call("PATCH", "/v1/projects/default", {"quota": {"cpu": 8, "cuda.device": 1}})
    found = await resolved(owls, create=new)
    assert (found["effect"], found["revision"], found["problems"]) == ("create", 1, [])
    assert found["origins"]["port"] == {"source": "request", "path": "port", "file": None, "size": None}
    assert found["origins"]["slots.cpu"]["source"] == "service-definition"
    need = {need["slot"]: (need["needed"], need["used"], need["limit"], need["left"]) for need in found["quota"]}
    assert need["cpu"] == ("6", "0", "8", "2")
    assert need["cuda.device"] == ("0", "0", "1", "1")
    assert need["mem"] == (str(6 * 2**30), "0", None, None)
    made = await owls.admin.call("POST", "/v1/services", new)
    assert made["effective"] == found["effective"]
    assert (await owls.admin.call("GET", "/v1/services/owl/revisions/1"))["origins"] == found["origins"]


async def test_a_dry_run_says_how_many_of_the_replicas_that_would_start_would_be_placed_now(owls: ManagerApi) -> None:
    await owls.machine("m-1")  # with 8 cpu
    spec = {"folder": "owls", "image": "img", "slots": {"cpu": 2, "mem": "128m"}}
    new = {"name": "owl", "replicas": 3, **spec}
    assert (await resolved(owls, create=new))["fit"] == {"replicas": 3, "placed": 3, "reason": None}
    few = (await resolved(owls, create=new | {"replicas": 6}))["fit"]
    assert (few["replicas"], few["placed"], few["reason"]["code"]) == (6, 4, "insufficient-slots")
    assert "m-1" in few["reason"]["text"]
    assert (await resolved(owls, create=new | {"replicas": 0}))["fit"] is None
    assert (await resolved(owls, create=new | {"folder": "absent"}))["fit"] is None
    assert (await resolved(owls, create=new | {"resource_group": "moon"}))["fit"] is None
    await owls.admin.call("POST", "/v1/services", new)
    more = (await resolved(owls, service="owl", update={"replicas": 5}))["fit"]
    assert (more["replicas"], more["placed"]) == (2, 2)
    assert (await resolved(owls, service="owl", update={"tags": ["x"]}))["fit"] is None
    rollout = (await resolved(owls, service="owl", update={"spec": {**spec, "slots": {"cpu": 9, "mem": "128m"}}}))[
        "fit"
    ]
    assert (rollout["replicas"], rollout["placed"]) == (1, 0)
    await owls.admin.call("POST", "/v1/services/owl/stop")
    assert (await resolved(owls, service="owl", update={"replicas": 9}))["fit"] is None


async def test_all_problems_of_a_creation_are_said_with_their_fields(owls: ManagerApi) -> None:
    admin = owls.admin
    await admin.call(
        "POST", "/v1/services", {"name": "owl", "folder": "owls", "endpoint_port": 10_500, "models": ["x/y"]}
    )
    await admin.call("PATCH", "/v1/projects/default", {"quota": {"cpu": 5, "mem": "3g"}})
    new: dict[str, Any] = {
        "name": "owl",
        "folder": "owls",
        "definition_path": "other.yaml",
        "resource_group": "moon",
        "endpoint_port": 10_500,
        "models": ["x/y", "fine"],
        "environ": {"HEADRACE_PORT": "1"},
        "extra_mounts": [{"folder": "gone"}, {"folder": "corpus", "target": "/etc/x"}],
    }
    found = await resolved(owls, create=new)
    assert (found["effect"], found["effective"]) == (None, None)
    assert fields(found) == {
        "extra_mounts[0].folder": "not-found",
        "(file)": "invalid-definition",
        "environ.HEADRACE_PORT": "invalid-request",
        "extra_mounts[1].target": "invalid-request",
        "resource_group": "invalid-request",
        "name": "name-taken",
        "models": "name-taken",
        "endpoint_port": "conflict",
    }
    more = {"name": "two", "folder": "owls", "replicas": 2}
    too_much = await resolved(owls, create=more)
    assert too_much["effect"] == "create"
    assert [(p["field"], p["found"], p["allowed"]) for p in too_much["problems"]] == [
        ("slots.cpu", "6", "at most 5"),
        ("slots.mem", str(6 * 2**30), f"at most {3 * 2**30}"),
    ]
    refused = await admin.call("POST", "/v1/services", more, expect=409)
    assert refused["detail"] == "; ".join(problem["detail"] for problem in too_much["problems"]), "in the same words"
    assert (refused["type"], refused["slot"]) == ("urn:headrace:problem:quota-exceeded", "cpu")
    assert [(e["field"], e["found"], e["allowed"]) for e in refused["errors"]] == [
        (p["field"], p["found"], p["allowed"]) for p in too_much["problems"]
    ]


async def test_a_creation_is_refused_with_all_that_its_dry_run_tells(owls: ManagerApi) -> None:
    admin = owls.admin
    await admin.call("POST", "/v1/services", {"name": "owl", "folder": "owls", "endpoint_port": 10_500})
    new: dict[str, Any] = {
        "name": "owl",
        "folder": "owls",
        "runtime": "custom",
        "definition_path": "other.yaml",
        "resource_group": "moon",
        "endpoint_port": 10_500,
        "environ": {"HEADRACE_PORT": "1"},
        "extra_mounts": [{"folder": "gone"}, {"folder": "corpus", "target": "/etc/x"}],
    }
    before, files = await rows(owls), sorted(str(path) for path in owls.folders.rglob("*"))
    refused = await admin.call("POST", "/v1/services", new, expect=404)
    assert (await rows(owls), sorted(str(path) for path in owls.folders.rglob("*"))) == (before, files)
    assert refused["type"] == "urn:headrace:problem:not-found", "of the first, as ever"
    wrong = {error["field"]: error for error in refused["errors"]}
    told = (await resolved(owls, create=new))["problems"]
    assert sorted(error["field"] for error in refused["errors"]) == sorted(problem["field"] for problem in told)
    assert {field: error["pointer"] for field, error in wrong.items()} == {
        "extra_mounts[0].folder": "#/extra_mounts/0/folder",
        "extra_mounts[1].target": "#/extra_mounts/1/target",
        "folder": "#/folder",
        "environ.HEADRACE_PORT": "#/environ/HEADRACE_PORT",
        "resource_group": "#/resource_group",
        "name": "#/name",
        "endpoint_port": "#/endpoint_port",
    }
    assert (wrong["folder"]["file"], wrong["folder"]["type"]) == ("other.yaml", "invalid-definition")
    assert wrong["name"]["detail"] == "there is a service owl already; names are unique in the whole installation"
    assert refused["detail"].endswith(f"(and {len(told) - 3} more)")
    assert len(wrong) == len(refused["errors"])
    spec = {name: new[name] for name in ("folder", "runtime", "definition_path", "resource_group", "extra_mounts")}
    trial = await admin.call("POST", "/v1/validations", spec, expect=404)
    assert {error["field"] for error in trial["errors"]} == {
        "extra_mounts[0].folder",
        "extra_mounts[1].target",
        "folder",
        "resource_group",
    }


async def test_a_creation_with_one_wrong_field_is_refused_as_ever(owls: ManagerApi) -> None:
    await owls.admin.call("POST", "/v1/services", {"name": "owl", "folder": "owls"})
    taken = await owls.admin.call("POST", "/v1/services", {"name": "owl", "folder": "owls"}, expect=409)
    assert "errors" not in taken
    group = {"name": "two", "folder": "owls", "resource_group": "moon"}
    (error,) = (await owls.admin.call("POST", "/v1/services", group, expect=400))["errors"]
    assert (error["field"], error["pointer"], "detail" in error) == ("resource_group", "#/resource_group", False)
    stranger = await owls.user("ann")
    await stranger.call("POST", "/v1/services", group | {"name": "owl"}, expect=400)


async def test_a_wrong_file_is_said_with_each_of_its_errors(owls: ManagerApi) -> None:
    wrong = DEFINITION.replace("port: 8000", "port: 0").replace("[serve, owl]", "''")
    await owls.admin.upload("owls", "model-definition.yaml", wrong.encode())
    await owls.admin.upload("owls", "service-definition.toml", b"[custom.resource_slots]\ncpu = -1\n")
    found = await resolved(owls, create={"name": "owl", "folder": "owls", "runtime": "custom"})
    assert fields(found) == {
        "models[0].service.start_command": "invalid-definition",
        "models[0].service.port": "invalid-definition",
        "custom.resource_slots.cpu": "invalid-definition",
    }
    assert {problem["file"] for problem in found["problems"]} == {"model-definition.yaml", "service-definition.toml"}
    assert {problem["field"] for problem in found["problems"]} == {"folder"}


async def test_a_change_says_what_takes_hold_at_once_and_what_rolls_out(owls: ManagerApi) -> None:
    admin = owls.admin
    await admin.call("POST", "/v1/services", {"name": "owl", "folder": "owls", "tags": ["a"]})
    live = {"tags": ["b"], "description": "", "balance": {"policy": "round-robin"}, "limits": None, "replicas": 2}
    found = await resolved(owls, service="owl", update=live)
    assert (found["effect"], found["revision"], found["rolls_out"]) == ("live", 1, [])
    assert {change["field"]: (change["before"], change["after"]) for change in found["live"]} == {
        "replicas": (1, 2),
        "tags": (["a"], ["b"]),
        "balance.policy": ("least-in-flight", "round-robin"),
    }
    assert found["origins"]["slots.cpu"]["source"] == "service-definition", "those of the current revision"
    spec = {"folder": "owls", "slots": {"cpu": 1}, "environ": {"A": "b"}}
    change = {"spec": spec, "open_to_public": True}
    found = await resolved(owls, service="owl", update=change)
    assert (found["effect"], found["revision"]) == ("rollout", 2)
    assert [(item["field"], item["before"], item["after"]) for item in found["rolls_out"]] == [
        ("environ.A", None, "b"),
        ("slots.cpu", "2", "1"),
    ]
    assert [item["field"] for item in found["live"]] == ["open_to_public"]
    changed = await admin.call("PATCH", "/v1/services/owl", change)
    assert (changed["revision"], changed["effective"]) == (2, found["effective"])
    again = await resolved(owls, service="owl", update=change)
    assert (again["effect"], again["revision"], again["note"]["code"]) == ("nothing", 2, "unchanged")
    await admin.upload("owls", "model-definition.yaml", DEFINITION.replace("8000", "8001").encode())
    corrected = await resolved(owls, service="owl", update={"spec": spec})
    assert {item["field"] for item in corrected["rolls_out"]} == {"port", "mounts[0]"}


async def test_all_problems_of_a_change_are_said(owls: ManagerApi) -> None:
    admin = owls.admin
    for name, more in (("owl", {}), ("other", {"models": ["x/y"], "endpoint_port": 10_500})):
        await admin.call("POST", "/v1/services", {"name": name, "folder": "owls", **more})
    await admin.call("PATCH", "/v1/services/owl", {"cors": {"allow_origins": ["*"]}})
    await admin.call("PATCH", "/v1/projects/default", {"quota": {"cpu": 4}})
    update = {
        "spec": {"folder": "gone", "model_uri": "hf://acme/tiny", "runtime": "vllm", "command": "x"},
        "models": ["x/y"],
        "endpoint_port": 10_500,
        "cors": {"allow_credentials": True},
    }
    found = await resolved(owls, service="owl", update=update)
    assert (found["effect"], found["effective"]) == (None, None)
    assert set(fields(found)) == {"folder", "model_uri", "command", "models", "endpoint_port", "cors.allow_credentials"}
    found = await resolved(owls, service="owl", update={"replicas": 2})
    assert fields(found) == {"slots.cpu": "quota-exceeded"}
    found = await resolved(owls, service="owl", update={"replicas": 0})
    assert found["problems"] == [], "who scales down is not refused for what others hold"


async def test_who_may_not_change_it_may_not_ask(owls: ManagerApi) -> None:
    await owls.admin.call("POST", "/v1/services", {"name": "owl", "folder": "owls", "replicas": 0})
    for role, status in (("viewer", 403), (None, 404)):
        person = await owls.user(f"ann-{status}", **({"default": role} if role else {}))
        for asked in ({"service": "owl", "update": {"replicas": 1}}, {"create": {"name": "x", "project": "default"}}):
            await person.call("POST", "/v1/resolutions", asked, expect=status)
        await person.close()


@pytest.mark.parametrize(
    "body",
    [{}, {"service": "owl"}, {"update": {"replicas": 1}}, {"create": {"name": "x"}, "service": "x"}],
)
async def test_it_is_a_creation_or_a_change(owls: ManagerApi, body: dict[str, Any]) -> None:
    refused = await owls.admin.call("POST", "/v1/resolutions", body, expect=400)
    assert refused["errors"][0]["allowed"] == "create alone, or service and update"
