"""Wrong input and foreign projects are refused clearly, and nothing is left half done."""

from __future__ import annotations

import pytest

from tests.support.api import Api
from tests.support.worlds.stack import Stack

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="session")]

GOOD = """
models:
  - name: m
    model_path: /models
    service:
      start_command: [python, -m, http.server, "8000"]
      port: 8000
      health_check: {path: /}
"""
WRONG = {
    "empty file": ("", ""),
    "not yaml": ("models: [", "line"),
    "a list at the top": ("- a\n", ""),
    "no models": ("model: []\n", "models"),
    "models is empty": ("models: []\n", "models"),
    "models is a mapping": ("models: {name: m}\n", "models"),
    "no name": (GOOD.replace("name: m\n    model_path", "model_path"), "models[0].name"),
    "no model_path": (GOOD.replace("    model_path: /models\n", ""), "models[0].model_path"),
    "no start_command": (
        GOOD.replace('      start_command: [python, -m, http.server, "8000"]\n', ""),
        "models[0].service.start_command",
    ),
    "empty start_command": (GOOD.replace('[python, -m, http.server, "8000"]', "[]"), "models[0].service.start_command"),
    "no port": (GOOD.replace("      port: 8000\n", ""), "models[0].service.port"),
    "port out of range": (GOOD.replace("port: 8000", "port: 70000"), "models[0].service.port"),
    "port is text": (GOOD.replace("port: 8000", "port: http"), "models[0].service.port"),
    "unknown key": (GOOD.replace("port: 8000", "port: 8000\n      ports: 1"), "models[0].service.ports"),
    "health check without path": (GOOD.replace("{path: /}", "{interval: 1}"), "models[0].service.health_check.path"),
    "negative interval": (
        GOOD.replace("{path: /}", "{path: /, interval: -1}"),
        "models[0].service.health_check.interval",
    ),
    "status code out of range": (
        GOOD.replace("{path: /}", "{path: /, expected_status_code: 99}"),
        "models[0].service.health_check.expected_status_code",
    ),
    "unknown action": (
        GOOD.replace("      port", "      pre_start_actions: [{action: dance, args: {}}]\n      port"),
        "models[0].service.pre_start_actions[0]",
    ),
    "action without its argument": (
        GOOD.replace("      port", "      pre_start_actions: [{action: mkdir, args: {}}]\n      port"),
        "models[0].service.pre_start_actions[0]",
    ),
    "bad file mode": (
        GOOD.replace(
            "      port",
            "      pre_start_actions: [{action: write_file, args: {filename: a, body: b, mode: '999'}}]\n      port",
        ),
        "mode",
    ),
    "the same key twice": (GOOD.replace("port: 8000", "port: 8000\n      port: 8001"), "port"),
}


@pytest.mark.parametrize("kind", WRONG)
async def test_a_wrong_definition_names_path_found_and_allowed(stack: Stack, kind: str) -> None:
    text, path = WRONG[kind]
    name = "wrong-" + "".join(c if c.isalnum() else "-" for c in kind)
    await stack.api.folder(name, {"model-definition.yaml": text})
    problem = await stack.api.call("POST", "/v1/services", stack.spec(name, folder=name), expect=422)
    assert problem["type"].endswith("invalid-definition")
    assert problem["file"] == "model-definition.yaml"
    assert any(path in str(error.get("path", "")) or path in str(error) for error in problem["errors"]), problem
    assert all({"path", "found", "allowed"} <= set(error) for error in problem["errors"])
    assert (await stack.api.http.get(f"/v1/services/{name}")).status_code == 404, "nothing was created"
    await stack.api.call("DELETE", f"/v1/folders/{name}")


async def test_two_projects_cannot_see_each_other(stack: Stack) -> None:
    api = stack.api
    keys = {}
    for name in ("red", "blue"):
        await api.call("POST", "/v1/projects", {"name": name})
        await api.call("POST", "/v1/users", {"name": f"{name}-user"})
        await api.call("PUT", f"/v1/projects/{name}/members/{name}-user", {"role": "owner"})
        keys[name] = (await api.call("POST", f"/v1/users/{name}-user/keys", {}))["key"]
    red, blue = Api(api.url, keys["red"]), Api(api.url, keys["blue"])
    try:
        folder = await red.folder("secret-folder", {"model-definition.yaml": GOOD}, project="red")
        service = await red.call(
            "POST", "/v1/services", stack.spec("red-service", folder="secret-folder", project="red", replicas=0)
        )
        for method, path in (
            ("GET", f"/v1/folders/{folder}"),
            ("GET", f"/v1/folders/{folder}/files"),
            ("GET", f"/v1/folders/{folder}/files/model-definition.yaml"),
            ("DELETE", f"/v1/folders/{folder}"),
            ("GET", "/v1/services/red-service"),
            ("GET", f"/v1/services/{service['id']}"),
            ("DELETE", "/v1/services/red-service"),
            ("POST", "/v1/services/red-service/stop"),
            ("GET", "/v1/services/red-service/logs"),
            ("GET", "/v1/services/red-service/tokens"),
            ("GET", "/v1/services/red-service/rules"),
            ("GET", "/v1/projects/red"),
        ):
            problem = await blue.call(method, path, expect=404)
            assert problem["type"].endswith("not-found"), (method, path)
        assert (await blue.call("GET", "/v1/services"))["items"] == []
        assert (await blue.call("GET", "/v1/folders"))["items"] == []
        assert [s["name"] for s in (await red.call("GET", "/v1/services"))["items"]] == ["red-service"]
        await red.remove("red-service")
    finally:
        await red.close()
        await blue.close()


async def test_no_key_no_answer(stack: Stack) -> None:
    stranger = Api(stack.api.url, "hr_" + "0" * 32 + "_" + "x" * 43)
    try:
        problem = await stranger.call("GET", "/v1/services", expect=401)
        assert problem["type"].endswith("unauthenticated")
    finally:
        await stranger.close()
