"""What users of an installation and its parts do there, so that every kind of message and of row comes to be."""

from __future__ import annotations

import os
import signal
from typing import Any, Final

from tests.support.api import TUS, Api
from tests.support.wait import eventually
from tests.support.worlds.processes import living
from tests.support.worlds.releases import DEFINITION, Releases

_RICH: Final[dict[str, Any]] = {
    "name": "chat",
    "project": "default",
    "folder": "chat",
    "replicas": 2,
    "drain_grace_s": 20,
    "slots": {"cpu": "0.1", "mem": "256m", "cuda.shares": "0.5"},
    "environ": {"STAGE": "1"},
    "extra_mounts": [{"folder": "data"}],
    "description": "kept",
    "tags": ["kept"],
    "metadata": {"team": "search"},
    "models": ["chat-large"],
    "open_to_public": True,
    "limits": {"max_in_flight_per_replica": 8, "max_queued": 50},
    "balance": {"session_key": "header:x-session"},
    "cors": {"allow_origins": ["https://app.example.com"]},
    "caller_limits": {"requests_per_second": 100, "tokens_per_day": 1000000},
    "rollout": {"max_unavailable": 1},
}


async def live(on: Releases) -> dict[str, list[str]]:
    """Do what makes every kind of message and of row, until nothing changes by itself.

    Returns what may stand at places of paths of which no list tells.
    """
    api = on.api("manager-1")
    await _people(api)
    await _folders(api)
    revoked = await _chat(on, api)
    await _replica_killed(on, api)
    await _others(api)
    run = await api.call("POST", "/v1/validations", {"project": "default", **_spec("chat")})

    async def judged() -> bool:
        return bool((await api.call("GET", f"/v1/validations/{run['id']}"))["done"])

    await eventually(judged, within_s=120, what="the trial run has its verdict")
    return {"validation": [run["id"]], "revision": ["1", "2"], "id": revoked}


def _spec(folder: str, **more: Any) -> dict[str, Any]:
    return {"folder": folder, "slots": {"cpu": "0.1", "mem": "64m"}, **more}


async def _people(api: Api) -> None:
    await api.call("POST", "/v1/users", {"name": "bob"})
    await api.call("POST", "/v1/users/bob/keys", {"name": "laptop", "expires_in_s": 86_400})
    quota = {"cpu": "4", "mem": "8g"}
    await api.call("POST", "/v1/projects", {"name": "research", "description": "kept", "quota": quota})
    await api.call("PUT", "/v1/projects/research/members/bob", {"role": "member"})
    await api.call("POST", "/v1/projects", {"name": "over"})
    await api.call("DELETE", "/v1/projects/over")


async def _folders(api: Api) -> None:
    await api.folder("data", {"words.txt": "hello"}, usage_mode="data")
    await api.folder("chat", {"model-definition.yaml": DEFINITION})
    await api.folder("over", {"model-definition.yaml": DEFINITION})
    broken = DEFINITION.replace("[python, -m, headrace.engine, ", "['false', ")
    await api.folder("wrong", {"model-definition.yaml": broken})
    begun = {**TUS, "Upload-Length": "5", "Upload-Metadata": "path d29yZHMudHh0"}
    assert (await api.http.post("/v1/folders/data/uploads", headers=begun)).status_code == 201


async def _chat(on: Releases, api: Api) -> list[str]:
    """Serve, and change what is served; return the ids of credentials that were revoked."""
    await api.call("POST", "/v1/services", _RICH)
    token = (await api.call("POST", "/v1/services/chat/tokens", {"name": "caller"}))["token"]
    limited = {"name": "limited", "limits": {"requests_per_second": 5}, "share": 2, "expires_in_s": 86_400}
    await api.call("POST", "/v1/services/chat/tokens", limited)
    await api.call("POST", "/v1/services/chat/clients", {"name": "shop", "limits": {"tokens_per_day": 1000}})
    await api.call("POST", "/v1/projects/default/tokens", {"name": "all"})
    revoked = []
    for tokens in ("/v1/services/chat/tokens", "/v1/projects/default/tokens"):
        revoked.append((await api.call("POST", tokens, {"name": "revoked"}))["id"])
        await api.call("DELETE", f"{tokens}/{revoked[-1]}")
    for rule in (
        {"metric": "headrace_queued", "comparator": "LESS_THAN", "threshold": 9, "step": 1, "cooldown_s": 1},
        {"metric": "running", "comparator": "GREATER_THAN", "threshold": 9, "step": -1},
    ):
        rule |= {"source": "inference-framework", "min_replicas": 1, "max_replicas": 3}
        await api.call("POST", "/v1/services/chat/rules", rule)
    await eventually(lambda: _serving(api, "chat", 3), within_s=120, what="a rule scaled out")
    body = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
    endpoint = f"{on.endpoint}/chat/v1/chat/completions"
    answer = await api.http.post(endpoint, json=body, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    await api.http.get("/v1/services/chat/logs")
    spec = {key: _RICH[key] for key in ("folder", "slots", "extra_mounts")}
    await api.call("PATCH", "/v1/services/chat", {"spec": {**spec, "environ": {"STAGE": "2"}}, "message": "second"})
    await eventually(lambda: _serving(api, "chat", 3), within_s=120, what="the rollout is over")
    one = (await api.service("chat"))["replica_list"][0]
    await api.call("PUT", f"/v1/services/chat/replicas/{one['id']}/weight", {"weight": 50})
    return revoked


async def _replica_killed(on: Releases, api: Api) -> None:
    """Kill a replica, and wait until it is replaced."""
    ours = (pid for pid, words in living(on.data / "agents").items() if "headrace.engine" in words)
    os.kill(next(ours), signal.SIGKILL)

    async def replaced() -> bool:
        return bool((await api.service("chat"))["ends"]) and await _serving(api, "chat", 3)

    await eventually(replaced, within_s=120, what="a killed replica was replaced")


async def _others(api: Api) -> None:
    """Have services that are stopped, deleted, without a machine, and such that do not start."""
    for name in ("stopped", "over"):
        await api.call("POST", "/v1/services", {"name": name, "project": "default", "replicas": 1, **_spec("chat")})
    await api.call("POST", "/v1/services/stopped/stop")
    await api.remove("over")
    await api.call("DELETE", "/v1/folders/over")
    large = {"name": "large", "project": "default", "replicas": 1, **_spec("chat")}
    await api.call("POST", "/v1/services", {**large, "slots": {"cpu": "10000", "mem": "64m"}})
    await api.call("POST", "/v1/services", {"name": "wrong", "project": "default", "replicas": 1, **_spec("wrong")})

    async def settled() -> bool:
        phases = {name: (await api.service(name))["phase"] for name in ("stopped", "wrong")}
        return phases == {"stopped": "stopped", "wrong": "failed"}

    await eventually(settled, within_s=120, every_s=0.2, what="one is stopped, and one starts no more")


async def _serving(api: Api, name: str, replicas: int) -> bool:
    seen = await api.service(name)
    live = [one for one in seen["replica_list"] if one["status"] != "ended"]
    whole = seen["healthy_replicas"] == replicas == len(live)
    return bool(whole and seen["revision"] == seen["served_revision"])
