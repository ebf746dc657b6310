"""`headrace audit`: what is asked, and what is shown."""

from __future__ import annotations

from typing import Any

from tests.support.fakes.manager_api import NOW, FakeManagerApi, uid
from tests.support.worlds.cli import Cli

ENTRY: dict[str, Any] = {
    "id": uid(1),
    "at": NOW,
    "actor": "ada",
    "source_address": "10.0.0.9",
    "action": "agent.cordoned",
    "project_id": None,
    "project": None,
    "service_id": None,
    "service": None,
    "message": "new disks",
    "details": {"agent": "gpu-1", "note": "x" * 100},
}


def test_changes_are_listed_with_who_and_from_where(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/audit", {"items": [ENTRY, ENTRY], "next": None})
    ran = cli("audit", "--agent", "gpu-1", "--action", "agent.*", "--since", "2026-11-30", "-n", "1")
    for word in ("ada", "10.0.0.9", "agent.cordoned", "new disks", "agent=gpu-1", "…"):
        assert word in ran.out
    assert ran.out.count("gpu-1") == 1
    method, path = there.seen[-1]
    assert method == "GET"
    assert "agent=gpu-1&action=agent.%2A" in path
    assert "since=2026-11-30T00%3A00%3A00%2B00%3A00" in path
    assert len(cli("audit", "--json").json) == 2


def test_a_time_that_is_none_is_refused_before_anything_is_sent(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/audit", {"items": [], "next": None})
    assert cli("audit", "--since", "24h").code == 0
    asked = len(there.seen)
    ran = cli("audit", "--until", "soon")
    assert ran.code == 2
    assert "--until soon: found neither a duration nor a date" in ran.err
    assert len(there.seen) == asked
