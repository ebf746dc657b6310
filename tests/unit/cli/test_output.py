"""Tables, facts, JSON and live lines, as they are without a terminal."""

from __future__ import annotations

import json
from typing import Any

import pytest

from headrace.cli.output import Changes
from headrace.cli.text import cell, clean, number, size
from tests.support.fakes.manager_api import NOW, FakeManagerApi, service_view, uid
from tests.support.worlds.cli import Cli


def test_lists_are_arrays_in_json_and_tables_for_people(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/services", {"items": [service_view("one"), service_view("two")], "next": None})
    assert [s["name"] for s in cli("service", "ls", "--json").json] == ["one", "two"]
    assert [s["name"] for s in cli("--json", "service", "ls").json] == ["one", "two"]
    head, *rows = cli("service", "ls").out.splitlines()
    assert head.startswith("SERVICE")
    assert [row.split()[0] for row in rows] == ["one", "two"]
    assert max(map(len, [head, *rows])) <= 100


def test_the_list_says_beside_the_table_why_services_are_not_as_wanted(cli: Cli, there: FakeManagerApi) -> None:
    failing = {"code": "start-failed-retrying", "text": "0 of 1 replicas healthy; start 2 of 5 failed: " + "x" * 300}
    good: dict[str, Any] = {"status": "healthy", "phase": "deployed", "healthy_replicas": 1}
    services = [service_view("one", **good), service_view("two", reason=failing)]
    there.on("GET", "/v1/services", {"items": services, "next": None})
    said = cli("service", "ls").err
    assert said.startswith("two: start 2 of 5 failed: xxx")
    assert len(said) <= len("two: ") + 200 + len("\n")
    assert cli("service", "ls", "--json").err == ""
    there.on("GET", "/v1/services", {"items": [service_view(f"s{n}") for n in range(12)], "next": None})
    assert cli("service", "ls").err.splitlines()[9:] == [
        "s9: it is deploying",
        "2 more are not as wanted: headrace service show NAME says why",
    ]


def test_an_empty_list_is_an_empty_array(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/services", {"items": [], "next": None})
    assert cli("service", "ls", "--json").json == []
    ran = cli("service", "ls")
    assert (ran.out, ran.err) == ("", "no services\n")


def test_json_is_the_contracts_model(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/services/echo", service_view())
    assert cli("service", "show", "echo", "--json").json["reason"] == {"code": "starting", "text": "it is deploying"}


def test_a_token_is_shown_once_on_standard_output(cli: Cli, there: FakeManagerApi) -> None:
    token = {"id": uid(1), "name": "app", "created_by": "ada", "created_at": NOW, "expires_at": NOW, "revoked_at": None}
    there.on("POST", "/v1/services/echo/tokens", token | {"token": "the-secret"})
    ran = cli("token", "create", "echo", "--name", "app", "--expires", "12h")
    assert "the-secret" in ran.out
    assert "the-secret" not in ran.err
    assert there.bodies[-1] == {"name": "app", "expires_in_s": 43_200}
    there.on("GET", "/v1/services/echo/tokens", {"items": [token], "next": None})
    assert "the-secret" not in cli("token", "ls", "echo", "--json").out


def test_what_a_server_says_moves_no_cursor(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/services/echo", service_view(description="\x1b[2Jgone"))
    ran = cli("service", "show", "echo")
    assert "\x1b" not in ran.out
    assert r"\x1b[2Jgone" in ran.out


def test_deleting_asks_and_does_nothing_where_nobody_can_answer(cli: Cli, there: FakeManagerApi) -> None:
    ran = cli("project", "rm", "demo")
    assert ran.code == 2
    assert "say --yes" in ran.err
    assert there.seen == []


def test_live_lines_appear_once_where_there_is_no_terminal() -> None:
    said: list[str] = []
    changes = Changes(said.append)
    for lines in (["a", "b"], ["a", "b"], ["a", "c"], ["b"]):
        changes.show(lines)
    assert said == ["a", "b", "c", "b"]


def test_a_rule_is_told_in_one_line(cli: Cli, there: FakeManagerApi) -> None:
    spec = {
        "source": "kernel",
        "metric": "cpu_util",
        "comparator": "GREATER_THAN",
        "threshold": 70,
        "step": 1,
        "min_replicas": 1,
        "max_replicas": 3,
        "cooldown_s": 60,
        "enabled": True,
    }
    there.on("POST", "/v1/services/echo/rules", {"id": uid(3), "spec": spec, "created_at": NOW})
    words = (
        "rule add echo --source kernel --metric cpu_util --comparator > --threshold 70 --step 1 --max 3 --cooldown 1m"
    )
    ran = cli(*words.split())
    assert "cpu_util > 70: +1 in 1..3, then 60 s" in ran.out
    assert there.bodies[-1]["comparator"] == "GREATER_THAN"


def test_values_of_people() -> None:
    assert [size(n) for n in (0, 1023, 1024, 1536, 5 * 2**30)] == ["0 B", "1023 B", "1 KiB", "1.5 KiB", "5 GiB"]
    assert [cell(v) for v in (None, True, False, "a\nb")] == ["-", "yes", "no", r"a\x0ab"]
    assert json.loads(json.dumps(clean("\x9b31m"))) == r"\x9b31m"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (1_000_000, "1000000"),
        (1_234_567, "1234567"),
        (1073741824, "1073741824"),
        (600.0, "600"),
        (0.5, "0.5"),
        (0.0, "0"),
        (1e-07, "0.0000001"),
        (1_234_567.25, "1234567.25"),
        (-3.0, "-3"),
    ],
)
def test_numbers_have_all_their_digits_and_no_power_of_ten(value: float, shown: str) -> None:
    assert number(value) == shown
