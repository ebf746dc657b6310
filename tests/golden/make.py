"""Writes the golden files anew, by the code of the previous release: python -m tests.golden.make

An installation of that release runs what its users and parts can do, and each kind of message is written down as it made it. A
release that moves deploy/previous-release runs this.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from tests.golden.recorder import shape
from tests.support.api import Api
from tests.support.previous_release import python as previous_python
from tests.support.wait import eventually
from tests.support.worlds.releases import DEFINITION, Releases, releases

HERE: Final = Path(__file__).parent
EXAMPLES: Final = 4
"""Of one kind of message at most: those that have most that the others lack."""
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


async def _lead_a_life(on: Releases) -> None:
    """Do what makes every kind of message."""
    api = on.api("manager-1")
    await api.folder("data", {"words.txt": "hello"}, usage_mode="data")
    await api.folder("chat", {"model-definition.yaml": DEFINITION})
    await api.call("POST", "/v1/services", _RICH)
    token = (await api.call("POST", "/v1/services/chat/tokens", {"name": "caller"}))["token"]
    await api.call("POST", "/v1/services/chat/clients", {"name": "shop"})
    await api.call("POST", "/v1/projects/default/tokens", {"name": "all"})
    revoked = await api.call("POST", "/v1/services/chat/tokens", {"name": "revoked"})
    await api.call("DELETE", f"/v1/services/chat/tokens/{revoked['id']}")
    for rule in (
        {"metric": "headrace_queued", "comparator": "LESS_THAN", "threshold": 9, "step": 1, "cooldown_s": 1},
        {"metric": "running", "comparator": "GREATER_THAN", "threshold": 9, "step": -1},
    ):
        rule |= {"source": "inference-framework", "min_replicas": 1, "max_replicas": 3}
        await api.call("POST", "/v1/services/chat/rules", rule)
    await eventually(lambda: _serving(api, 3), within_s=120, what="a rule scaled out")
    body = {"model": "chat", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 4}
    endpoint = f"{on.endpoint}/chat/v1/chat/completions"
    answer = await api.http.post(endpoint, json=body, headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200, answer.text
    await api.http.get("/v1/services/chat/logs")
    spec = {key: _RICH[key] for key in ("folder", "slots", "extra_mounts")}
    await api.call("PATCH", "/v1/services/chat", {"spec": {**spec, "environ": {"STAGE": "2"}}, "message": "second"})
    await eventually(lambda: _serving(api, 3), within_s=120, what="the rollout is over")
    broken = DEFINITION.replace("[python, -m, headrace.engine, ", "['false', ")
    await api.folder("wrong", {"model-definition.yaml": broken})
    wrong = {"name": "wrong", "project": "default", "folder": "wrong", "replicas": 1}
    await api.call("POST", "/v1/services", {**wrong, "slots": {"cpu": "0.1", "mem": "64m"}})

    async def failed() -> bool:
        return bool((await api.service("wrong"))["errors"])

    await eventually(failed, what="a start failed")


async def _serving(api: Api, replicas: int) -> bool:
    seen = await api.service("chat")
    return bool(seen["healthy_replicas"] >= replicas and seen["revision"] == seen["served_revision"])


def _chosen(folder: Path) -> list[Any]:
    """Return a few recorded messages with all places that any has."""
    found = [json.loads(path.read_bytes()) for path in sorted(folder.iterdir())]
    chosen: list[Any] = []
    covered: set[str] = set()
    while found and len(chosen) < EXAMPLES:
        best = max(found, key=lambda one: len(set(shape(one)) - covered))
        if not set(shape(best)) - covered:
            break
        covered |= set(shape(best))
        chosen.append(best)
        found.remove(best)
    return chosen


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")


async def _make(root: Path) -> None:
    recorded = root / "recorded"
    os.environ["RECORD_TO"] = str(recorded)
    async with releases(root, previous_python(), runner=(str(HERE / "recorder.py"),)) as on:
        await _lead_a_life(on)
        await on.api("manager-1").remove("chat")
    shutil.rmtree(HERE / "messages", ignore_errors=True)
    for kind in sorted(recorded.iterdir()):
        _write(HERE / f"messages/{kind.name}.json", _chosen(kind))


def main() -> None:
    """Make them in a temporary folder, and put them here."""
    with tempfile.TemporaryDirectory(prefix="headrace-golden-") as folder:
        asyncio.run(_make(Path(folder)))


if __name__ == "__main__":
    main()
