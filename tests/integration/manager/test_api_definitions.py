"""Definition files: which model is served, what its metadata is good for, and where effective values come from."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.worlds.manager_api import ManagerApi

TWO = """
models:
  - name: small
    model_path: /models
    metadata: {title: Little Owl, task: text-generation, license: MIT, label: [owls], min_resource: {mem: 2g}}
    service: {start_command: [serve, small], port: 8000}
  - name: large
    model_path: /models
    metadata: {title: Great Owl}
    service: {start_command: [serve, large], port: 9000, health_check: {path: /up}}
"""
DEFAULTS = """
[custom.environment]
image = "example.com/serve:1"
architecture = "x86_64"
[custom.resource_slots]
cpu = 2
[custom.environ]
LEVEL = "info"
"""


@pytest.fixture
async def owls(api: ManagerApi) -> ManagerApi:
    """A folder with two models."""
    await api.admin.folder("owls", {"model-definition.yaml": TWO, "service-definition.toml": DEFAULTS})
    return api


def asked(**more: Any) -> dict[str, Any]:
    return {"name": "owl", "folder": "owls", "replicas": 0, **more}


async def effective(api: ManagerApi, revision: int) -> Any:
    return await api.admin.call("GET", f"/v1/services/owl/revisions/{revision}")


async def test_one_of_several_models_is_served_and_another_by_an_update(owls: ManagerApi) -> None:
    admin = owls.admin
    for wanted in ({}, {"model": "huge"}):
        refused = await admin.call("POST", "/v1/services", asked(**wanted), expect=400)
        (error,) = refused["errors"]
        assert (error["field"], error["allowed"]) == ("model", "a model of model-definition.yaml: small, large")
    made = await admin.call("POST", "/v1/services", asked(model="small"))
    assert (made["effective"]["model_name"], made["effective"]["port"]) == ("small", 8000)
    spec = {"folder": "owls", "model": "large"}
    changed = await admin.call("PATCH", "/v1/services/owl", {"spec": spec})
    assert (changed["revision"], changed["effective"]["command"]) == (2, ["serve", "large"])
    await admin.upload("owls", "model-definition.yaml", TWO.partition("  - name: large")[0].encode())
    alone = await admin.call("PATCH", "/v1/services/owl", {"spec": {"folder": "owls"}})
    assert (alone["revision"], alone["effective"]["model_name"]) == (3, "small"), "one need not be named"
    assert (await effective(owls, 3))["spec"]["model"] is None


async def test_metadata_is_kept_shown_and_searched(owls: ManagerApi) -> None:
    admin = owls.admin
    await admin.call("POST", "/v1/services", asked(model="small"))
    metadata = (await admin.service("owl"))["effective"]["metadata"]
    assert (metadata["title"], metadata["license"], metadata["label"]) == ("Little Owl", "MIT", ["owls"])
    assert metadata["min_resource"] == {"mem": str(2 * 2**30)}

    async def found(text: str) -> list[str]:
        return [item["name"] for item in (await admin.call("GET", f"/v1/services?q={text}"))["items"]]

    assert await found("little") == ["owl"]
    assert await found("text-gen") == ["owl"]
    assert await found("license") == [], "names of fields are not what it says"
    await admin.call("PATCH", "/v1/services/owl", {"metadata": {"team": "night shift"}})
    assert await found("night") == ["owl"]
    await admin.call("PATCH", "/v1/services/owl", {"spec": {"folder": "owls", "model": "large"}})
    assert await found("little") == []
    assert await found("great") == ["owl"]
    rolled_back = await admin.call("POST", "/v1/services/owl/rollback", {"revision": 1})
    assert rolled_back["effective"]["metadata"] == metadata


async def test_a_revision_says_where_each_value_comes_from(owls: ManagerApi) -> None:
    admin = owls.admin
    await admin.call("POST", "/v1/services", asked(model="large", port=9100, slots={"mem": "3g"}))
    found = await effective(owls, 1)
    assert found["effective"]["port"] == 9100, "the request wins over the model definition"
    origins = found["origins"]
    assert origins["port"] == {"source": "request", "path": "port", "file": None, "size": None}
    assert origins["health_check.path"] == {
        "source": "model-definition",
        "path": "models[1].service.health_check.path",
        "file": "model-definition.yaml",
        "size": None,
    }
    assert origins["image"] == {
        "source": "service-definition",
        "path": "custom.environment.image",
        "file": "service-definition.toml",
        "size": None,
    }
    assert origins["health_check.interval"] == {"source": "baseline", "path": "", "file": None, "size": None}
    assert (await admin.call("POST", "/v1/services/owl/restart"))["revision"] == 2
    assert (await effective(owls, 2))["origins"] == origins, "the same spec under another number"


async def test_a_value_that_comes_from_elsewhere_and_stays_the_same_replaces_nothing(owls: ManagerApi) -> None:
    await owls.admin.call("POST", "/v1/services", asked(model="large"))
    spec = {"folder": "owls", "model": "large", "port": 9000, "slots": {"cpu": 2}}
    changed = await owls.admin.call("PATCH", "/v1/services/owl", {"spec": spec})
    assert (changed["revision"], changed["note"]["code"]) == (1, "unchanged")


async def test_a_revision_of_an_older_version_is_shown_without_origins(owls: ManagerApi) -> None:
    await owls.admin.call("POST", "/v1/services", asked(model="small"))
    await owls.pool.execute("update revisions set origins = null, model_metadata = null")
    found = await effective(owls, 1)
    assert (found["origins"], found["effective"]["metadata"]) == ({}, None)


async def test_a_replica_that_ended_tells_the_revision_that_it_ran(owls: ManagerApi) -> None:
    admin = owls.admin
    await admin.call("POST", "/v1/services", asked(model="small", replicas=1))
    session_id, _ = await owls.runs("owl")
    await admin.call("PATCH", "/v1/services/owl", {"spec": {"folder": "owls", "model": "large"}})
    await owls.pool.execute(
        "update sessions set placed_at = created_at + interval '1 s', healthy_at = created_at + interval '5 s' where id = $1",
        session_id,
    )
    await owls.pool.execute(
        "update kernels set started_at = created_at + interval '2 s', exit_code = 137, failures = 3 where session_id = $1",
        session_id,
    )
    await owls.ends(session_id)
    found = await admin.call("GET", f"/v1/services/owl/replicas/{session_id}")
    assert (found["status"], found["revision"]) == ("ended", 1)
    times = [found[f"{phase}_at"] for phase in ("created", "placed", "started", "healthy")]
    assert times == sorted(times)
    assert found["ended_at"] is not None
    assert (found["exit_code"], found["failed_checks"]) == (137, 3)
    assert (await effective(owls, found["revision"]))["effective"]["command"] == ["serve", "small"]
    await admin.call("POST", "/v1/services", asked(name="other", model="small"))
    await admin.call("GET", f"/v1/services/other/replicas/{session_id}", expect=404)


async def test_a_definition_file_is_checked_as_it_is_or_before_it_is_saved(owls: ManagerApi) -> None:
    admin = owls.admin
    right = await admin.call("POST", "/v1/folders/owls/check", {"path": "model-definition.yaml"})
    assert right == {
        "path": "model-definition.yaml",
        "kind": "model-definition",
        "valid": True,
        "names": ["small", "large"],
        "problems": [],
    }
    text = DEFAULTS.replace("cpu = 2", "cpu = many")
    wrong = await admin.call("POST", "/v1/folders/owls/check", {"path": "service-definition.toml", "text": text})
    (problem,) = wrong["problems"]
    assert (wrong["valid"], problem["path"], problem["line"]) == (False, "(file)", 6)
    text = TWO.replace("9000", "0")
    wrong = await admin.call("POST", "/v1/folders/owls/check", {"path": "new/other.yaml", "text": text})
    assert wrong["problems"] == [
        {"path": "models[1].service.port", "line": 10, "column": 46, "found": "0", "allowed": "1 or more"}
    ]
    await admin.call("GET", "/v1/folders/owls/files/new/other.yaml", expect=404)
    await admin.call("POST", "/v1/folders/owls/check", {"path": "gone.yaml"}, expect=404)
    await admin.call("POST", "/v1/folders/owls/check", {"path": "weights.bin"}, expect=400)
    refused = await admin.call("POST", "/v1/folders/owls/check", {"path": "../x.yaml", "text": ""}, expect=400)
    assert refused["errors"][0]["field"] == "path"
    stranger = await owls.user("stranger")
    await stranger.call("POST", "/v1/folders/owls/check", {"path": "model-definition.yaml"}, expect=404)
    await stranger.close()


async def test_a_refused_file_says_line_and_column(owls: ManagerApi) -> None:
    await owls.admin.upload("owls", "model-definition.yaml", TWO.replace("9000", "0").encode())
    refused = await owls.admin.call("POST", "/v1/services", asked(model="small"), expect=422)
    assert (refused["errors"][0]["line"], refused["errors"][0]["column"]) == (10, 46)
    found = await owls.admin.call("POST", "/v1/resolutions", {"create": asked(model="small")})
    assert [(problem["line"], problem["column"]) for problem in found["problems"]] == [(10, 46)]


async def test_schemas_are_for_everybody(api: ManagerApi) -> None:
    async with httpx.AsyncClient(verify=False, base_url=api.url) as anybody:
        for kind in ("model-definition", "service-definition"):
            answer = await anybody.get(f"/v1/schemas/{kind}")
            assert (answer.headers["Content-Type"], answer.json()["title"]) == ("application/schema+json", kind)
        missing = (await anybody.get("/v1/schemas/other")).json()
    assert "model-definition, service-definition" in missing["detail"]
