"""Upgrade of an installation from the previous release to this one, part by part under load, and back, as docs/operations.md says."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.load import Load
from tests.support.previous_release import python as previous_python
from tests.support.wait import eventually
from tests.support.worlds.releases import AGENTS, DEFINITION, Releases, releases

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(560)]
THIS: Final = Path(sys.executable)
MANAGERS: Final = ("manager-1", "manager-2")
ORDER: Final = (*MANAGERS, "autoscaler", "proxy-1", *AGENTS)
"""Of docs/operations.md; going back is its reverse."""
TRIED_ON_THE_WAY_BACK: Final = ("agent-1", "proxy-1", "manager-2", "manager-1")
"""Once all agents are back, the app-proxy, one of the managers, and all."""
CHAT: Final[dict[str, object]] = {
    "model": "chat",
    "messages": [{"role": "user", "content": "hello"}],
    "max_tokens": 4,
}
SPEC: Final[dict[str, Any]] = {"folder": "chat", "slots": {"cpu": "0.1", "mem": "256m"}, "environ": {"STAGE": "1"}}
RULE: Final[dict[str, Any]] = {
    "source": "inference-framework",
    "metric": "headrace_queued",
    "comparator": "GREATER_THAN",
    "threshold": 1000,
    "step": 1,
    "max_replicas": 4,
}
NEW_FIELDS = {"share", "etag", "last_used_at"}


def without_new(things: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the things without fields that the previous release does not have."""
    return [{name: value for name, value in thing.items() if name not in NEW_FIELDS} for thing in things]


@dataclass
class User:
    """What somebody has in the installation, and does there while its parts are replaced."""

    on: Releases
    token: str = ""
    kept: dict[str, Any] | None = None
    turns: int = 0

    async def settle(self) -> None:
        """Put a folder up, and serve it."""
        api = self.on.api("manager-1")
        await api.folder("chat", {"model-definition.yaml": DEFINITION, "notes.txt": "kept"})
        body = {**SPEC, "name": "chat", "project": "default", "replicas": 2, "drain_grace_s": 20, "tags": ["kept"]}
        await api.call("POST", "/v1/services", body)
        self.token = (await api.call("POST", "/v1/services/chat/tokens", {"name": "caller"}))["token"]
        await api.call("POST", "/v1/services/chat/clients", {"name": "shop"})
        await api.call("POST", "/v1/services/chat/rules", RULE)
        await api.until_healthy("chat", replicas=2)
        self.kept = await self.has("manager-1")

    async def has(self, manager: str) -> dict[str, Any]:
        """Return what a manager says that there is; of history the ids."""
        api = self.on.api(manager)
        service = await api.service("chat")
        pages = {
            name: await api.call("GET", f"/v1/services/chat/{name}")
            for name in ("tokens", "clients", "rules", "history")
        }
        return {
            "service": {key: service[key] for key in ("id", "name", "endpoint", "tags", "folder_id", "created_at")},
            "files": without_new((await api.call("GET", "/v1/folders/chat/files"))["items"]),
            "tokens": without_new(pages["tokens"]["items"]),
            "clients": [one["id"] for one in pages["clients"]["items"]],
            "rules": [(one["id"], one["spec"]) for one in pages["rules"]["items"]],
            "history": {one["id"] for one in pages["history"]["items"]},
        }

    async def keeps_what_was_there(self, manager: str) -> None:
        """Compare with the beginning, of which only the history may have grown."""
        assert self.kept is not None
        now = await self.has(manager)
        assert now.pop("history") >= self.kept["history"]
        assert now == {name: value for name, value in self.kept.items() if name != "history"}

    async def scales(self) -> None:
        """Scale by one manager, see it done by the other one; the rule is looked at by the autoscaler meanwhile."""
        asked, shown = self.on.api(MANAGERS[self.turns % 2]), self.on.api(MANAGERS[(self.turns + 1) % 2])
        self.turns += 1
        replicas = 2 + self.turns % 2
        before = await self.looked_at()
        await asked.call("PATCH", "/v1/services/chat", {"replicas": replicas})
        await shown.until_healthy("chat", replicas=replicas)
        await eventually(lambda: self.looked_at_after(before), what="the rule is looked at")

    async def looked_at(self) -> str:
        (rule,) = (await self.on.api("manager-1").call("GET", "/v1/services/chat/rules"))["items"]
        return str((rule["outcome"] or {"at": ""})["at"])

    async def looked_at_after(self, before: str) -> bool:
        return await self.looked_at() > before


async def test_an_installation_is_upgraded_part_by_part_and_back(tmp_path: Path) -> None:
    previous = previous_python()
    async with releases(tmp_path, previous) as on:
        user = User(on)
        await user.settle()
        load = Load(
            f"{on.endpoint}/chat/v1/chat/completions", user.token, workers=3, body=CHAT, pause_s=0.2, keep_alive=False
        )
        async with load:
            await eventually(lambda: len(load.answers) > 5)
            for name in ORDER:
                await on.replace(name, THIS)
                await user.scales()
            await user.keeps_what_was_there("manager-1")
            await _rollout_and_drain(user)

            for name in reversed(ORDER):
                await on.replace(name, previous)
                if name in TRIED_ON_THE_WAY_BACK:
                    await user.scales()
            await user.keeps_what_was_there("manager-2")
            done = len(load.answers)
            await eventually(lambda: len(load.answers) > done + 5)
        assert load.failures == []
        await on.api("manager-1").remove("chat")


async def _rollout_and_drain(user: User) -> None:
    """Do on this release what was not there before, too."""
    api = user.on.api("manager-2")
    before = {one["id"] for one in (await api.service("chat"))["replica_list"]}
    await api.call("PATCH", "/v1/services/chat", {"spec": {**SPEC, "environ": {"STAGE": "2"}}, "message": "after"})

    async def replaced() -> bool:
        replicas = [one for one in (await api.service("chat"))["replica_list"] if one["status"] != "ended"]
        return not before & {one["id"] for one in replicas}

    await eventually(replaced, what="the rollout is over")
    await api.until_healthy("chat", replicas=2)
    await api.call("POST", "/v1/agents/agent-2/drain", {"message": "new RAM"})

    async def drained() -> Any:
        drain = await api.call("GET", "/v1/agents/agent-2/drain")
        return drain["ended_at"] and drain

    receipt = (await eventually(drained, what="the drain is over"))["receipt"]
    assert (receipt["failed"], receipt["cut"]) == (0, 0)
    await api.call("DELETE", "/v1/agents/agent-2/cordon")
