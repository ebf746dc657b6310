"""`service ls` in an order and counted, and `search`."""

from __future__ import annotations

import pytest

from tests.support.fakes.manager_api import FakeManagerApi, service_view, uid
from tests.support.worlds.cli import Cli

COUNTS = {
    "counted": 2000,
    "complete": False,
    "by_status": {"healthy": 1500, "degraded": 0, "unhealthy": 500},
    "by_phase": {"deploying": 0, "deployed": 1500, "stopping": 0, "stopped": 500, "failed": 0},
}


def asked(there: FakeManagerApi) -> set[str]:
    """The parameters of the newest request."""
    return set(there.seen[-1][1].partition("?")[2].split("&"))


def test_services_are_listed_in_the_order_and_by_the_filters_that_are_given(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/services", {"items": [service_view("one")], "next": None, "total": 1})
    words = ["--tag", "gpu", "--runtime", "vllm", "--folder", "weights", "--agent", "agent-1"]
    assert cli("service", "ls", *words, "--sort", "updated", "--desc").code == 0
    filters = {"tag=gpu", "runtime=vllm", "folder=weights", "agent=agent-1"}
    assert asked(there) == {"limit=200", *filters, "sort=updated", "order=desc"}
    there.on("GET", "/v1/services/counts", COUNTS)
    ran = cli("service", "ls", "--count", *words)
    assert asked(there) == filters
    assert "2000" in ran.out
    assert "only the oldest 2,000 were looked at" in ran.err
    assert cli("service", "ls", "--count", "--json").json == COUNTS


@pytest.mark.parametrize("words", [["--count", "--sort", "name"], ["--count", "--desc"], ["--sort", "owner"]])
def test_what_does_not_order_a_list_is_refused(cli: Cli, words: list[str]) -> None:
    ran = cli("service", "ls", *words)
    assert ran.code == 2
    assert words[-2 if words[-1] != "--desc" else -1] in ran.err


def test_a_search_lists_kind_name_and_project_and_says_that_there_is_more(cli: Cli, there: FakeManagerApi) -> None:
    items = [
        {"kind": "service", "id": uid(1), "name": "chat", "project": "lab", "description": "Answers\n" + "x" * 300},
        {"kind": "machine", "id": "agent-1", "name": "agent-1", "description": "default"},
    ]
    there.on("GET", "/v1/search", {"items": items, "more": ["service"]})
    ran = cli("search", "a", "--limit", "1", "--kind", "service")
    assert asked(there) == {"q=a", "limit=1", "kind=service"}
    head, service, machine = ran.out.splitlines()
    assert head.split() == ["KIND", "NAME", "PROJECT", "DESCRIPTION"]
    assert service.split()[:4] == ["service", "chat", "lab", "Answers"]
    assert len(service) < 120
    assert machine.split() == ["machine", "agent-1", "-", "default"]
    assert "more of: service" in ran.err
    assert [item["name"] for item in cli("search", "a", "--json").json] == ["chat", "agent-1"]
    there.on("GET", "/v1/search", {"items": [], "more": []})
    assert "nothing has zzz" in cli("search", "zzz").err
