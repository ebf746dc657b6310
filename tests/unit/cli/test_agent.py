"""`headrace agent`: cordons, drains, labels and removals on the command line."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.fakes.manager_api import NOW, FakeManagerApi, uid
from tests.support.worlds.cli import Cli

AGENT: dict[str, Any] = {
    "id": "m-1",
    "status": "alive",
    "resource_group": "default",
    "hostname": "m-1",
    "architecture": "x86_64",
    "address": "10.0.0.1",
    "runtime": "docker",
    "version": "0",
    "slots": {"cpu": "8"},
    "allocated": {"cpu": "1"},
    "last_seen_at": NOW,
    "plan_generation": 3,
    "applied_generation": 3,
    "gpus": [],
    "kernels": [],
    "labels": {"zone": "a", "rack": ""},
}
CORDON = {"at": NOW, "by": "ada", "reason": "new RAM"}
NOTHING = {
    "started": 0,
    "finished": 0,
    "retried": 0,
    "failed": 0,
    "cut": 0,
    "slowest_s": 0.0,
    "replicas": 0,
    "draining": 0,
    "waiting_for": [],
    "complete": False,
}
STAYS = {
    "service_id": uid(1),
    "name": "p/chat",
    "replicas": 1,
    "leaving": 0,
    "moving": True,
    "reason": {"code": "no-machine", "text": "its replacement waits for a machine: m-2 would need 2 cpu, 1 of 8 free"},
}


def drain(**facts: Any) -> dict[str, Any]:
    return {
        "agent": "m-1",
        "status": "draining",
        "started_at": NOW,
        "started_by": "ada",
        "message": "",
        "ended_at": None,
        "services": [],
        "reason": None,
        "receipt": NOTHING,
        **facts,
    }


OVER = drain(
    status="finished",
    ended_at=NOW,
    receipt={**NOTHING, "started": 4, "finished": 4, "replicas": 2, "slowest_s": 1.5, "complete": True},
)


def test_agents_are_listed_with_labels_and_what_holds_of_them(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/agents", {"items": [AGENT, AGENT | {"id": "m-2", "cordon": CORDON}], "next": None})
    ran = cli("agent", "ls", "--label", "zone=a")
    assert "rack= zone=a" in ran.out
    assert "alive, cordoned" in ran.out
    there.on("GET", "/v1/agents", {"items": [AGENT | {"cordon": CORDON, "draining": True}], "next": None})
    assert "alive, draining" in cli("agent", "ls").out


def test_removed_agents_are_listed_apart(cli: Cli, there: FakeManagerApi) -> None:
    gone = {"id": "m-9", "removed_at": NOW, "removed_by": "ada", "reason": "sold", "refused_at": None}
    there.on("GET", "/v1/removed-agents", {"items": [gone], "next": None})
    ran = cli("agent", "ls", "--removed")
    assert all(word in ran.out for word in ("m-9", "ada", "sold"))
    assert cli("agent", "ls", "--removed", "--label", "a").code == 2


def test_labels_are_set_and_taken_away(cli: Cli, there: FakeManagerApi) -> None:
    there.on("PATCH", "/v1/agents/m-1/labels", AGENT)
    assert cli("agent", "label", "m-1", "zone=a", "old-", "flag=").code == 0
    assert there.bodies == [{"labels": {"zone": "a", "old": None, "flag": ""}}]
    refused = cli("agent", "label", "m-1", "zone")
    assert refused.code == 2
    assert "found zone; allowed: KEY=VALUE to set a label, KEY- to take it away" in refused.err


def test_a_cordon_says_who_and_why(cli: Cli, there: FakeManagerApi) -> None:
    there.on("PUT", "/v1/agents/m-1/cordon", AGENT | {"cordon": CORDON})
    ran = cli("agent", "cordon", "m-1", "-m", "new RAM")
    assert there.bodies == [{"reason": "new RAM"}]
    assert "by ada since" in ran.out
    assert "new RAM" in ran.out
    there.on("DELETE", "/v1/agents/m-1/cordon", AGENT)
    assert "alive" in cli("agent", "uncordon", "m-1").out


def test_show_tells_how_far_a_drain_is(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/agents/m-1", AGENT | {"cordon": {**CORDON, "reason": ""}, "draining": True})
    there.on("GET", "/v1/agents/m-1/drain", drain(services=[STAYS]))
    ran = cli("agent", "show", "m-1")
    assert "1 replica there: its replacement waits for a machine: m-2 would need 2 cpu" in ran.out
    assert "no replica has left yet" in ran.out
    there.on("GET", "/v1/agents/m-1/drain", drain(status="finished", ended_at=NOW))
    assert "no replica was there to leave" in cli("agent", "show", "m-1").out


def test_a_drain_is_started_and_not_waited_for(cli: Cli, there: FakeManagerApi) -> None:
    silent = {"code": "agent-lost", "text": "its agent has been silent for 20 s"}
    there.on("POST", "/v1/agents/m-1/drain", drain(services=[STAYS], reason=silent))
    ran = cli("agent", "drain", "m-1", "-m", "new RAM")
    assert ran.code == 0
    assert there.bodies == [{"message": "new RAM"}]
    assert "its agent has been silent for 20 s" in ran.out


def test_a_drain_that_is_waited_for_ends_with_its_receipt(cli: Cli, there: FakeManagerApi) -> None:
    there.on("POST", "/v1/agents/m-1/drain", drain(services=[STAYS]))
    there.on("GET", "/v1/agents/m-1/drain", drain(services=[STAYS]), drain(), OVER)
    ran = cli("agent", "drain", "m-1", "--wait")
    assert ran.code == 0, ran.err
    assert "finished" in ran.out
    assert "4 requests open on 2 replicas that left: 4 finished, 0 failed; the slowest took 1.5 s" in ran.out


def test_a_drain_that_does_not_end_in_time_says_why_per_service(cli: Cli, there: FakeManagerApi) -> None:
    there.on("POST", "/v1/agents/m-1/drain", drain())
    there.on("GET", "/v1/agents/m-1/drain", drain(services=[STAYS]))
    ran = cli("agent", "drain", "m-1", "--wait", "--timeout", "1")
    assert ran.code == 5
    assert "p/chat: its replacement waits for a machine: m-2 would need 2 cpu, 1 of 8 free" in ran.err


@pytest.mark.parametrize(("status", "word"), [("cancelled", "uncordoned"), ("removed", "removed")])
def test_a_drain_that_is_ended_before_fails(cli: Cli, there: FakeManagerApi, status: str, word: str) -> None:
    there.on("POST", "/v1/agents/m-1/drain", drain())
    there.on("GET", "/v1/agents/m-1/drain", drain(status=status, ended_at=NOW))
    ran = cli("agent", "drain", "m-1", "--wait")
    assert ran.code == 5
    assert f"the drain was ended: the agent was {word}" in ran.err


def test_a_removal_asks_first(cli: Cli, there: FakeManagerApi) -> None:
    there.on("DELETE", "/v1/agents/m-1", {}, status=204)
    assert cli("agent", "remove", "m-1").code == 2
    ran = cli("agent", "remove", "m-1", "--force", "-m", "sold", "--yes")
    assert ran.code == 0, ran.err
    assert "headrace agent admit m-1" in ran.err
    there.on("DELETE", "/v1/removed-agents/m-1", {}, status=204)
    assert cli("agent", "admit", "m-1").code == 0


def test_moving_a_machine_says_first_what_becomes_of_what_runs_there(cli: Cli, there: FakeManagerApi) -> None:
    kernel = {
        "kernel_id": uid(7),
        "session_id": uid(8),
        "service_id": uid(1),
        "state": "running",
        "health": "healthy",
        "reason": {"code": "healthy", "text": "GET /health: answered 200"},
    }
    busy = {**AGENT, "kernels": [kernel, {**kernel, "kernel_id": uid(9), "state": "exited"}]}
    there.on("GET", "/v1/agents/m-1", busy)
    there.on("PATCH", "/v1/agents/m-1", {**busy, "resource_group": "lab"})
    there.on("POST", "/v1/agents/m-1/drain", drain())
    asked = cli("agent", "move", "m-1", "lab")
    assert asked.code == 2
    assert "move m-1 from default to lab? 1 replica there will go on" in asked.err
    assert not [method for method, _ in there.seen if method == "PATCH"]
    moved = cli("agent", "move", "m-1", "lab", "--yes")
    assert "resource group  lab" in moved.out
    assert there.bodies[-1] == {"resource_group": "lab"}
    drained = cli("agent", "move", "m-1", "lab", "--drain", "--yes")
    assert there.bodies[-1] == {"message": "moved to resource group lab"}
    assert "afterwards: headrace agent uncordon m-1" in drained.err
    there.on("GET", "/v1/agents/m-1", AGENT)
    assert cli("agent", "move", "m-1", "lab").code == 0, "nothing runs there, so nothing is asked"
