"""Services through the public API: create, look, change, remove."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from headrace.cli.commands.service.unset import OF_THE_SERVICE
from tests.support.factories.settings import PROXY_URL
from tests.support.worlds.manager_api import ManagerApi

DEFINITION = """
models:
  - name: m
    model_path: /models
    service:
      start_command: python -m http.server 8000
      port: 8000
      health_check: {path: /health}
"""
DEFAULTS = """
[custom.environment]
image = "example.com/model-server:latest"
architecture = "x86_64"
[custom.resource_slots]
cpu = 2
mem = "8gb"
"cuda.shares" = "0.5"
[custom.environ]
MODEL_NAME = "from-file"
OTHER = "kept"
"""


async def create(api: ManagerApi, name: str = "chat", **body: Any) -> Any:
    """Create a `cmd` service, which needs no folder."""
    return await api.admin.call("POST", "/v1/services", {"name": name, "runtime": "cmd", "image": "img", **body})


async def test_a_custom_service_takes_definition_and_defaults_and_the_request_wins(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {"model-definition.yaml": DEFINITION, "service-definition.toml": DEFAULTS})
    seen = await api.admin.call(
        "POST",
        "/v1/services",
        {
            "name": "chat",
            "folder": "m",
            "slots": {"cpu": 1, "cuda.device": 1},
            "environ": {"MODEL_NAME": "asked"},
            "replicas": 2,
        },
    )
    assert (seen["status"], seen["phase"], seen["replicas"]) == ("unhealthy", "deploying", 2)
    assert seen["reason"]["code"] == "starting"
    assert seen["folder_id"] == folder
    assert seen["image"] == "example.com/model-server:latest"
    assert seen["slots"] == {"cpu": "1", "cuda.device": "1", "mem": str(8 * 2**30)}
    assert seen["endpoint"] == f"{PROXY_URL}/chat"
    assert seen["example"] == f'curl -H "Authorization: Bearer $TOKEN" {PROXY_URL}/chat/health'
    resolved = await api.pool.fetchval("select resolved from revisions")
    assert resolved["command"] == ["/bin/sh", "-c", "python -m http.server 8000"]
    assert resolved["environ"] == {"MODEL_NAME": "asked", "OTHER": "kept"}
    (mount,) = resolved["mounts"]
    assert (mount["folder_id"], mount["target"], mount["read_only"]) == (folder, "/models", True)
    assert {"services", "routes"} <= set(api.behind.poked)
    assert (await api.admin.call("GET", f"/v1/services/{seen['id']}"))["name"] == "chat"


async def test_what_replicas_are_started_with_is_shown_of_the_current_and_of_older_revisions(api: ManagerApi) -> None:
    files: dict[str, bytes | str] = {"model-definition.yaml": DEFINITION, "service-definition.toml": DEFAULTS}
    folder = await api.admin.folder("m", files)
    data = await api.admin.folder("corpus", {}, usage_mode="data")
    mounts = [{"folder": "corpus", "target": "/data", "read_only": False}]
    seen = await api.admin.call(
        "POST", "/v1/services", {"name": "chat", "folder": "m", "environ": {"A": 1}, "extra_mounts": mounts}
    )
    first = seen["effective"]
    assert first["environ"] == {"MODEL_NAME": "from-file", "OTHER": "kept", "A": "1"}
    assert (first["port"], first["command"]) == (8000, ["/bin/sh", "-c", "python -m http.server 8000"])
    assert (first["image"], first["architecture"]) == ("example.com/model-server:latest", "x86_64")
    assert (first["health_check"]["path"], first["health_check"]["initial_delay"]) == ("/health", 60)
    assert first["mounts"] == [
        {
            "folder_id": folder,
            "folder": "m",
            "target": "/models",
            "read_only": True,
            "host_path": None,
            "snapshot_id": (await api.admin.call("GET", "/v1/folders/m/manifest"))["snapshot_id"],
        },
        {
            "folder_id": data,
            "folder": "corpus",
            "target": "/data",
            "read_only": False,
            "host_path": None,
            "snapshot_id": None,
        },
    ]
    seen = await api.admin.call("PATCH", "/v1/services/chat", {"spec": {"runtime": "cmd", "image": "i", "port": 90}})
    assert (seen["effective"]["port"], seen["effective"]["mounts"], seen["effective"]["image"]) == (90, [], "i")
    assert seen == await api.admin.call("GET", "/v1/services/chat")
    old = await api.admin.call("GET", "/v1/services/chat/revisions/1")
    assert (old["number"], old["spec"]["environ"], old["effective"]) == (1, {"A": "1"}, first)
    assert "effective" not in (await api.admin.call("GET", "/v1/services"))["items"][0]
    for number in ("3", "0", "x", "9999999999", "99999999999999999999"):
        problem = await api.admin.call("GET", f"/v1/services/chat/revisions/{number}", expect=404)
        assert number in problem["detail"]
    stranger = await api.user("stranger")
    await stranger.call("GET", "/v1/services/chat/revisions/1", expect=404)
    await stranger.http.aclose()


async def test_a_stored_spec_that_cannot_be_read_is_shown_as_far_as_it_can(api: ManagerApi) -> None:
    await create(api, environ={"A": "1"})
    await api.pool.execute("update revisions set resolved = resolved || '{\"port\": 0}'")
    assert (await api.admin.call("GET", "/v1/services/chat"))["effective"]["environ"] == {"A": "1"}
    assert (await api.admin.call("GET", "/v1/services/chat/revisions/1"))["effective"]["environ"] == {"A": "1"}


async def test_a_slot_that_no_machine_has_is_waited_for_and_said(api: ManagerApi) -> None:
    await api.machine("agent-1")
    made = await create(api, slots={"cpu": 1, "cuda.devcie": 1})
    assert made["note"]["code"] == "slot-unknown"
    assert "did you mean cuda.device?" in made["note"]["text"]
    assert (await create(api, "usual", slots={"cuda.device": 1}))["note"] is None
    spec = {"runtime": "cmd", "image": "img", "slots": {"npu.device": 1}}
    changed = await api.admin.call("PATCH", "/v1/services/usual", {"spec": spec})
    assert "no machine has npu.device" in changed["note"]["text"]
    slots = {"cpu": "8", "mem": "1073741824", "npu.device": "4"}
    await api.pool.execute("update agents set slots = $1", slots)
    assert (await create(api, "npu", slots={"npu.device": 1}))["note"] is None


async def test_a_wrong_definition_creates_nothing(api: ManagerApi) -> None:
    await api.admin.folder("m", {"model-definition.yml": DEFINITION.replace("port: 8000", "port: 0")})
    problem = await api.admin.call("POST", "/v1/services", {"name": "chat", "folder": "m"}, expect=422)
    assert problem["file"] == "model-definition.yml"
    wrong = {"path": "models[0].service.port", "found": "0", "allowed": "1 or more", "line": 7, "column": 7}
    assert problem["errors"] == [wrong]
    assert (await api.admin.call("GET", "/v1/services"))["items"] == []
    problem = await api.admin.call(
        "POST", "/v1/services", {"name": "c", "folder": "m", "definition_path": "no/such.yaml"}, expect=422
    )
    assert problem["file"] == "no/such.yaml"
    problem = await api.admin.call(
        "POST", "/v1/services", {"name": "c", "folder": "m", "definition_path": "../x"}, expect=400
    )
    assert problem["errors"][0]["field"] == "definition_path"


async def test_every_wrong_field_is_named(api: ManagerApi) -> None:
    data = await api.admin.folder("data", {}, usage_mode="data")
    model = await api.admin.folder("model", {})
    wrong: dict[str, dict[str, Any]] = {
        "folder": {"folder": "data", "runtime": "vllm"},
        "command": {"folder": "model", "runtime": "vllm", "command": "x"},
        "model_destination": {"folder": "model", "runtime": "sglang", "model_destination": "/weights"},
        "definition_path": {"folder": "model", "runtime": "vllm", "definition_path": "a.yaml"},
        "extra_mounts[0].folder": {"runtime": "cmd", "extra_mounts": [{"folder": model}]},
        "extra_mounts[0].target": {
            "runtime": "cmd",
            "folder": "model",
            "extra_mounts": [{"folder": data, "target": "/models/x"}],
        },
        "environ.HEADRACE_PORT": {"runtime": "cmd", "environ": {"HEADRACE_PORT": "1"}},
        "name": {"runtime": "cmd", "name": "available"},
        "resource_group": {"runtime": "cmd", "resource_group": "none"},
        "replicas": {"runtime": "cmd", "replicas": -1},
        "slots.cpu": {"runtime": "cmd", "slots": {"cpu": "many"}},
        "slots.mem": {"runtime": "cmd", "slots": {"mem": 0}},
    }
    for field, body in wrong.items():
        problem = await api.admin.call("POST", "/v1/services", {"name": "x", **body}, expect=400)
        assert [error["field"] for error in problem["errors"]] == [field], problem
        assert all({"found", "allowed"} <= set(error) for error in problem["errors"])
    for body in ({"runtime": "cmd", "folder": "nope"}, {"runtime": "cmd", "project": "nope"}):
        await api.admin.call("POST", "/v1/services", {"name": "x", **body}, expect=404)


async def test_names_are_unique_and_become_free_again(api: ManagerApi) -> None:
    await create(api)
    problem = await api.admin.call("POST", "/v1/services", {"name": "chat", "runtime": "cmd"}, expect=409)
    assert problem["type"].endswith("name-taken")
    assert (await api.admin.call("GET", "/v1/services/available?name=chat"))["available"] is False
    assert (await api.admin.call("GET", "/v1/services/available?name=v1"))["reason"]["code"] == "name-reserved"
    await api.admin.call("DELETE", "/v1/services/chat", expect=204)
    assert (await api.admin.call("GET", "/v1/services/available?name=chat"))["available"] is True
    await create(api)


async def test_status_and_phase_follow_the_replicas(api: ManagerApi) -> None:
    await create(api, replicas=2)
    first, _ = await api.runs("chat")
    seen = await api.admin.service("chat")
    assert (seen["status"], seen["phase"], seen["healthy_replicas"]) == ("degraded", "deploying", 1)
    second, kernel = await api.runs("chat", healthy=False)
    seen = await api.admin.service("chat")
    assert seen["reason"] == {"code": "initial-delay", "text": "1 of 2 replicas healthy; as the test wants"}
    replica = next(r for r in seen["replica_list"] if r["id"] == str(second))
    assert (replica["kernel_id"], replica["agent_id"], replica["address"]) == (str(kernel), "agent-1", "10.0.0.1:20000")
    await api.ends(second)
    await api.runs("chat")
    seen = await api.admin.service("chat")
    assert (seen["status"], seen["phase"]) == ("healthy", "deployed")
    await api.admin.call("POST", "/v1/services/chat/stop")
    seen = await api.admin.service("chat")
    assert seen["phase"] == "stopping"
    for replica in seen["replica_list"]:
        await api.ends(replica["id"])
    seen = await api.admin.service("chat")
    assert (seen["status"], seen["phase"], seen["reason"]["code"]) == ("unhealthy", "stopped", "stopped")
    assert first


async def test_update_makes_a_revision_only_for_a_spec(api: ManagerApi) -> None:
    await create(api)
    seen = await api.admin.call(
        "PATCH",
        "/v1/services/chat",
        {"replicas": 3, "open_to_public": True, "description": "d", "tags": ["a"], "metadata": {"k": "v"}},
    )
    assert (seen["revision"], seen["replicas"], seen["open_to_public"], seen["tags"]) == (1, 3, True, ["a"])
    assert seen["example"] == f"curl {PROXY_URL}/chat/"
    seen = await api.admin.call(
        "PATCH", "/v1/services/chat", {"spec": {"runtime": "cmd", "image": "img:2"}, "message": "new image"}
    )
    assert (seen["revision"], seen["image"], seen["replicas"], seen["description"]) == (2, "img:2", 3, "d")
    history = (await api.admin.call("GET", "/v1/services/chat/history"))["items"]
    assert [entry["action"] for entry in history] == ["service.updated", "service.updated", "service.created"]
    assert history[0]["message"] == "new image"
    assert history[0]["details"]["changes"]["spec"]["image"] == "img:2"
    assert history[0]["actor"] == "admin"
    revisions = (await api.admin.call("GET", "/v1/services/chat/revisions"))["items"]
    assert [(r["number"], r["spec"]["image"], r["message"]) for r in revisions] == [
        (1, "img", ""),
        (2, "img:2", "new image"),
    ]
    decisions = (await api.admin.call("GET", "/v1/services/chat/decisions"))["items"]
    assert [(d["source"], d["from_replicas"], d["to_replicas"]) for d in decisions] == [("user", 1, 3)]
    await api.admin.call("PATCH", "/v1/services/chat", {"message": "nothing"}, expect=400)


async def test_everything_that_is_set_of_a_service_can_be_taken_away_again(api: ManagerApi) -> None:
    new = await create(api, "plain")
    await create(
        api,
        description="d",
        metadata={"a": "b"},
        tags=["t"],
        models=["m"],
        endpoint_port=10_001,
        drain_grace_s=5,
        balance={"policy": "session"},
        limits={"max_queued": 3},
        caller_limits={"in_flight": 2},
        open_to_public=True,
        rollout={"on_failure": "roll-back"},
        environ={"A": "1"},
        slots={"cpu": 3},
        command="serve",
        port=90,
    )
    emptied = dict(OF_THE_SERVICE.values())
    seen = await api.admin.call("PATCH", "/v1/services/chat", {**emptied, "spec": {"runtime": "cmd", "image": "img"}})
    same = [*emptied, "effective"]
    new["effective"]["model_name"] = "chat"
    assert {name: seen[name] for name in same} == {name: new[name] for name in same}


async def test_roll_back_serves_the_old_revision_again(api: ManagerApi) -> None:
    folder = await api.admin.folder("m", {"model-definition.yaml": DEFINITION})
    await api.admin.call("POST", "/v1/services", {"name": "chat", "folder": "m"})
    await api.admin.call("PATCH", "/v1/services/chat", {"spec": {"runtime": "cmd", "image": "other"}})
    await api.admin.upload(folder, "model-definition.yaml", DEFINITION.replace("/health", "/changed").encode())
    seen = await api.admin.call("POST", "/v1/services/chat/rollback", {"revision": 1, "message": "back"})
    assert (seen["revision"], seen["runtime"], seen["folder_id"]) == (3, "custom", folder)
    resolved = await api.pool.fetchval("select resolved from revisions where number = 3")
    assert resolved["health_check"]["path"] == "/health", "exactly as it was resolved then"
    await api.admin.call("POST", "/v1/services/chat/rollback", {"revision": 9}, expect=404)
    assert (await api.admin.call("GET", "/v1/services/chat/history"))["items"][0]["action"] == "service.rolled-back"


async def test_stop_start_retry_delete(api: ManagerApi) -> None:
    await create(api)
    session, _ = await api.runs("chat")
    await api.pool.execute("update services set failed_starts = 5, next_start_at = now() + interval '1 hour'")
    await api.pool.execute(
        "insert into start_errors (session_id, service_id, reason_code, reason_text) select $1, id, 'exited', 'no such model' from services",
        session,
    )
    await api.ends(session)
    seen = await api.admin.service("chat")
    assert (seen["phase"], seen["errors"][0]["reason"]["text"]) == ("failed", "no such model")
    assert "no such model" in seen["reason"]["text"]
    (listed,) = (await api.admin.call("GET", "/v1/services"))["items"]
    assert listed["reason"] == seen["reason"], "the list says what failed, too"
    seen = await api.admin.call("POST", "/v1/services/chat/retry")
    assert (seen["phase"], seen["errors"], seen["next_retry_at"]) == ("deploying", [], None)
    assert (await api.admin.call("POST", "/v1/services/chat/stop"))["phase"] == "stopped"
    assert (await api.admin.call("POST", "/v1/services/chat/start"))["phase"] == "deploying"
    session, _ = await api.runs("chat")
    seen = await api.admin.call("DELETE", "/v1/services/chat", expect=202)
    assert (seen["phase"], seen["reason"]["code"]) == ("stopping", "deleting")
    await api.admin.call("PATCH", "/v1/services/chat", {"replicas": 2}, expect=409)
    await api.admin.call("POST", "/v1/services/chat/start", expect=409)
    await api.admin.call("DELETE", "/v1/services/chat", expect=202)
    await api.ends(session)
    await api.admin.call("DELETE", "/v1/services/chat", expect=204)
    await api.admin.call("GET", "/v1/services/chat", expect=404)


async def test_quota_counts_what_running_services_want(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/projects", {"name": "small", "quota": {"cpu": 4, "mem": "4g"}})
    await create(api, "one", project="small", replicas=3)
    problem = await api.admin.call(
        "POST", "/v1/services", {"name": "two", "runtime": "cmd", "project": "small", "replicas": 2}, expect=409
    )
    assert problem["type"].endswith("quota-exceeded")
    assert "would hold 5 of cpu: 3 are held and 2 are asked for; its limit is 4" in problem["detail"]
    await create(api, "two", project="small", replicas=1)
    used = (await api.admin.call("GET", "/v1/projects/small/usage"))["used"]
    assert used == {"cpu": "4", "mem": str(4 * 2**30), "storage": "0", "files": "0", "services": "2"}
    await api.admin.call("PATCH", "/v1/services/two", {"replicas": 2}, expect=409)
    await api.admin.call("PATCH", "/v1/services/two", {"spec": {"runtime": "cmd", "slots": {"cpu": 2}}}, expect=409)
    await api.admin.call("POST", "/v1/services/one/stop")
    await api.admin.call("PATCH", "/v1/services/two", {"replicas": 2})
    await api.admin.call("POST", "/v1/services/one/start", expect=409)
    await api.admin.call(
        "POST", "/v1/validations", {"runtime": "cmd", "project": "small", "slots": {"cpu": 3}}, expect=409
    )
    assert (await api.admin.service("two"))["revision"] == 1


async def test_lists_filter_and_page(api: ManagerApi) -> None:
    await api.admin.call("POST", "/v1/projects", {"name": "other"})
    for number in range(5):
        await create(
            api, f"s{number}", project="other" if number % 2 else "default", tags=["even"] if number % 2 == 0 else []
        )
    await api.runs("s0")
    await api.admin.call("POST", "/v1/services/s1/stop")

    async def names(query: str) -> list[str]:
        return [item["name"] for item in (await api.admin.call("GET", f"/v1/services?{query}"))["items"]]

    assert await names("") == ["s0", "s1", "s2", "s3", "s4"]
    assert await names("project=other") == ["s1", "s3"]
    assert await names("status=healthy") == ["s0"]
    assert await names("phase=stopped") == ["s1"]
    assert await names("q=even") == ["s0", "s2", "s4"]
    assert await names("owner=nobody") == []
    assert await names("mine=true&project=default") == ["s0", "s2", "s4"]
    seen, cursor = [], ""
    while True:
        page = await api.admin.call("GET", f"/v1/services?limit=2{cursor}")
        seen += [item["name"] for item in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert seen == ["s0", "s1", "s2", "s3", "s4"]
    await api.admin.call("GET", "/v1/services?phase=well", expect=400)
    problem = await api.admin.call("GET", "/v1/services?phse=stopped", expect=400)
    assert problem["errors"][0]["field"] == "phse"
    await api.admin.call("GET", "/v1/services?project=nope", expect=404)


async def test_a_project_runs_no_more_services_than_its_quota_says_and_none_where_they_are_switched_off(
    api: ManagerApi,
) -> None:
    call = api.admin.call
    await call("POST", "/v1/projects", {"name": "lab", "quota": {"services": 1}})
    cmd = {"runtime": "cmd", "project": "lab"}
    await call("POST", "/v1/services", {"name": "one", **cmd, "replicas": 2})
    refused = await call("POST", "/v1/services", {"name": "two", **cmd, "replicas": 0}, expect=409)
    assert (refused["type"].rpartition(":")[2], refused["slot"], refused["limit"]) == (
        "quota-exceeded",
        "services",
        "1",
    )
    await call("POST", "/v1/validations", {**cmd, "image": "img"}, expect=409)
    await call("POST", "/v1/services/one/stop")
    await call("POST", "/v1/services", {"name": "two", **cmd})
    await call("POST", "/v1/services/one/start", expect=409)
    await call("PATCH", "/v1/projects/lab", {"quota": {"services": 0}})
    await call("PATCH", "/v1/services/two", {"replicas": 3})  # what runs goes on, and can be changed
    await call("POST", "/v1/services/two/restart")
    await call("POST", "/v1/services/two/stop")
    await call("POST", "/v1/services/two/start", expect=409)
    await call("PATCH", "/v1/projects/lab", {"quota": {"services": None}})
    for name in ("one", "two"):
        await call("POST", f"/v1/services/{name}/start")
    run = await call("POST", "/v1/validations", {**cmd, "image": "img"})
    folder = await api.admin.folder("weights", {"f": "12345"}, project="lab")

    usage = await call("GET", "/v1/projects/lab/usage")
    assert (usage["used"]["services"], "services" in usage["limits"]) == ("3", False)
    assert [(h["kind"], h["name"] or h["id"], h["owner"], h["replicas"]) for h in usage["holders"]] == [
        ("service", "two", "admin", 3),
        ("service", "one", "admin", 2),
        ("trial-run", run["id"], "admin", 1),
        ("folder", "weights", "", 0),
    ]
    assert usage["holders"][-1]["id"] == folder
    summed: dict[str, Decimal] = {}
    for holder in usage["holders"]:
        for slot, amount in holder["used"].items():
            summed[slot] = summed.get(slot, Decimal(0)) + Decimal(amount)
    assert summed == {slot: Decimal(amount) for slot, amount in usage["used"].items()}
    spec = {"slots": {"cpu": 1, "services": 1}}
    refused = await call("POST", "/v1/services", {"name": "x", **cmd, **spec}, expect=400)
    assert "this is for a project's quota" in refused["detail"]
