"""`headrace status` of an installation: one table of its parts, and an exit status for scripts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.fakes.manager_api import NOW, FakeManagerApi, problem
from tests.support.worlds.cli import Cli


def part(kind: str, name: str, status: str = "up", why: str = "", **more: Any) -> dict[str, Any]:
    reasons = [{"code": "silent", "text": why}] if why else []
    usual = {"version": "1.2", "host": "h1", "address": "10.0.0.1:80", "since": NOW, "reasons": reasons, "facts": {}}
    return {"kind": kind, "name": name, "status": status, **usual, **more}


def installation(*parts: dict[str, Any], status: str = "healthy", **more: Any) -> dict[str, Any]:
    agents = {"alive": sum(one["kind"] == "agent" for one in parts), "lost": 0}
    return {"status": status, "at": NOW, "answered_by": "m1", "reasons": [], "parts": parts, "agents": agents, **more}


@pytest.fixture
def fleet(there: FakeManagerApi) -> FakeManagerApi:
    there.on("GET", "/v1/services", {"items": [], "next": None})
    there.on("GET", "/v1/agents", {"items": [], "next": None})
    return there


def test_each_part_has_a_row_with_its_version_place_time_and_facts(cli: Cli, fleet: FakeManagerApi) -> None:
    facts = {"role": "primary", "size_bytes": 3 << 20, "latency_s": 0.0021, "connections": 7}
    database = part("postgresql", "postgresql", facts=facts, version="18.4", host="")
    fleet.on("GET", "/v1/status", installation(part("manager", "m1"), database))
    ran = cli("status")
    assert (ran.code, "is up" in ran.out) == (0, True)
    rows = {line.split()[0]: line for line in ran.out.splitlines() if line}
    assert rows["manager"].split()[1:6] == ["m1", "up", "1.2", "h1", "10.0.0.1:80"]
    assert "2026-01-01T12:00:00Z" in rows["manager"]
    assert "role primary, size 3 MiB, latency 2.1 ms, connections 7" in rows["postgresql"]


def test_what_is_degraded_says_why_and_is_the_exit_status(cli: Cli, fleet: FakeManagerApi) -> None:
    parts = (part("manager", "m1"), part("app-proxy", "p1", "away", "silent for 30 s: it does not run"))
    whole = [{"code": "no-app-proxy", "text": "no app-proxy reports: callers may reach nothing"}]
    fleet.on("GET", "/v1/status", installation(*parts, status="degraded", reasons=whole))
    ran = cli("status")
    assert (ran.code, "is degraded" in ran.out) == (1, True)
    assert "silent for 30 s: it does not run" in ran.out
    assert "hint: no app-proxy reports" in ran.out
    told = cli("status", "--json")
    assert (told.code, told.json["installation"]["parts"][1]["status"]) == (1, "away")


def test_many_machines_that_are_up_are_counted(cli: Cli, fleet: FakeManagerApi) -> None:
    lost = part("agent", "bad", "away", "silent")
    machines = [part("agent", f"gpu-{n:02}") for n in range(50)]
    fleet.on("GET", "/v1/status", installation(lost, *machines, status="degraded", agents={"alive": 900, "lost": 1}))
    out = cli("status").out
    assert "bad" in out
    assert ("gpu-19" in out, "gpu-20" in out) == (True, False)
    assert "901 agents in all: 900 alive, 1 lost" in out


def test_a_server_without_its_database_is_degraded_and_says_what_goes_on(cli: Cli, fleet: FakeManagerApi) -> None:
    why = "PostgreSQL has taken nothing for 9 s: refused. Requests are served"
    fleet.on("GET", "/v1/status", lambda: problem("unavailable", 503, detail=why, reason="database-unreachable"))
    ran = cli("status", "--json")
    assert (ran.code, ran.json["status"], ran.json["hints"]) == (1, "degraded", [why])
    assert why in cli("status").out
