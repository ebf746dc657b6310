"""`headrace usage` and `headrace service callers`: what is asked, and what is shown."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from tests.support.fakes.manager_api import FakeManagerApi
from tests.support.worlds.cli import Cli

SERVICE = "01890000-0000-7000-8000-000000000001"
ITEM = {
    "at": "2026-11-01T00:00:00Z",
    "id": SERVICE,
    "name": "chat",
    "requests": 12,
    "errors": 1,
    "refused": 2,
    "prompt_tokens": 30,
    "completion_tokens": 40,
    "estimated_tokens": 5,
    "tokens": 75,
    "audio_seconds": 1.5,
    "last_at": "2026-11-30T18:00:00Z",
    "gpu_hours": 3.25,
    "cpu_hours": 6.5,
    "memory_gib_hours": 8.0,
}
REPORT = {"since": "2026-11-01T00:00:00Z", "until": "2026-12-01T00:00:00Z", "step": "month", "by": "service"}


def asked(there: FakeManagerApi) -> dict[str, list[str]]:
    """Return the query of the last request."""
    return parse_qs(urlsplit(there.seen[-1][1]).query)


def test_usage_is_a_line_for_each_thing_and_interval(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/usage", {**REPORT, "items": [ITEM, {**ITEM, "id": None, "name": None, "gpu_hours": None}]})
    ran = cli("usage", "--by", "service", "--step", "month", "--from", "2026-11-01", "--project", "p")
    heading, first, second = ran.out.splitlines()
    assert heading.split()[:4] == ["MONTH", "SERVICE", "REQUESTS", "ERRORS"]
    assert first.split() == ["2026-11", "chat", "12", "1", "2", "30", "40", "5", "2", "3.25", "6.50", "8.00"]
    assert second.split()[1] == second.split()[-3] == "-"
    assert asked(there) == {
        "project": ["p"],
        "by": ["service"],
        "step": ["month"],
        "from": ["2026-11-01T00:00:00+00:00"],
    }


def test_usage_of_tokens_names_their_service_and_all_of_it_has_no_names(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/usage", {**REPORT, "by": "token", "step": None, "items": [{**ITEM, "service": "search"}]})
    assert cli("usage", "--by", "token").out.splitlines()[1].split()[:3] == ["chat", "search", "12"]
    there.on("GET", "/v1/usage", {**REPORT, "by": None, "step": None, "items": [ITEM]})
    assert cli("usage").out.split()[0] == "REQUESTS"
    assert asked(there) == {}
    there.on("GET", "/v1/usage", {**REPORT, "by": "user", "items": []})
    assert "nothing was used" in cli("usage", "--by", "user").err


def test_usage_is_printed_for_programs(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/usage", {**REPORT, "items": [ITEM]})
    header, line = cli("usage", "--csv").out.splitlines()
    assert header.split(",")[:3] == ["at", "id", "name"]
    assert line.startswith(f"2026-11-01T00:00:00Z,{SERVICE},chat,,12,1,2,30,40,5,75,1.5,")
    assert cli("usage", "--json").json["items"][0]["tokens"] == 75


def test_callers_of_a_service_have_what_is_left(cli: Cli, there: FakeManagerApi) -> None:
    caller = {
        "id": SERVICE,
        "kind": "token",
        "name": "app",
        "requests": 3,
        "refused": 1,
        "tokens": 500,
        "tokens_today": 400,
        "limits": {"tokens_per_day": 1000},
        "left_today": 600,
        "limits_scope": "project",
        "left_this_minute": 77,
        "resets_at": "2026-12-01T00:00:00Z",
        "last_used_at": "2026-11-30T18:00:00Z",
    }
    there.on("GET", "/v1/services/chat/callers", {"items": [caller], "next": None})
    ran = cli("service", "callers", "chat", "--window", "7d")
    for word in ("token", "app", "500", "400", "600", "77", "project", "2026-12-01T00:00:00Z", "2026-11-30T18:00:00Z"):
        assert word in ran.out
    assert asked(there)["window_s"] == ["604800"]
    there.on("GET", "/v1/projects/p/callers", {"items": [caller], "next": None})
    assert cli("project", "callers", "p").out == ran.out
