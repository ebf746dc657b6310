"""The access log of a run on hosts is held against what callers saw and replicas ran."""

from __future__ import annotations

import pytest

from tests.chaos.network.account import disagreements, entries_of
from tests.chaos.network.bed import USER_TIMEOUT_S
from tests.chaos.network.run import costs_of
from tests.chaos.network.schedule import Kind, LinkFault
from tests.chaos.stack.account import Execution, RequestRecord


def line(status: int, *, reason: str | None = None, broken: str | None = None, session: str = "s") -> dict[str, object]:
    return {"request_id": "r", "status": status, "reason": reason, "broken": broken, "session_id": session}


def rules(outcome: str, *lines: dict[str, object], runs: int = 1) -> list[str]:
    asked = RequestRecord("r", "post", "net", 0.0, 1.0, outcome)
    ran = {"r": [Execution("s", 0.5, ended=True)] * runs}
    return [one.rule for one in disagreements([asked], entries_of(lines), ran)]


@pytest.mark.parametrize(
    ("outcome", "entry"),
    [
        ("200", line(200)),
        ("200", line(101)),
        ("504:first-byte-timeout", line(504, reason="first-byte-timeout")),
        ("cut:idle-timeout", line(200, broken="idle-timeout")),
        ("cut", line(200, broken="connection-lost")),
        ("lost", line(200)),
    ],
)
def test_what_all_say_alike_breaks_no_rule(outcome: str, entry: dict[str, object]) -> None:
    assert rules(outcome, entry) == []


def test_a_request_that_never_reached_the_app_proxy_breaks_no_rule() -> None:
    assert rules("no-connection", runs=0) == []


@pytest.mark.parametrize(
    ("outcome", "lines", "rule"),
    [
        ("200", (), "the access log does not have it"),
        ("200", (line(200), line(200)), "2 entries"),
        ("200", (line(200, broken="idle-timeout"),), "says cut:idle-timeout"),
        ("200", (line(200, session="another"),), "was answered by another"),
        ("cut:idle-timeout", (line(200, broken="connection-lost"),), "says cut:connection-lost"),
        ("cut", (line(200),), "says 200"),
        ("504:first-byte-timeout", (line(502, reason="connection-lost"),), "says 502:connection-lost"),
        ("lost", (), "ran, and its caller saw lost"),
        ("lost-kept", (line(200),), "ran, and its caller saw lost-kept"),
    ],
)
def test_what_is_told_differently_breaks_a_rule(outcome: str, lines: tuple[dict[str, object], ...], rule: str) -> None:
    assert any(rule in found for found in rules(outcome, *lines))


def test_an_entry_of_a_request_that_nobody_sent_is_found() -> None:
    assert [one.rule.partition(" has ")[0] for one in disagreements([], entries_of([line(200)]), {})] == [
        "the access log"
    ]


@pytest.mark.parametrize("host", ["proxy", "gpu-1"])
@pytest.mark.parametrize("kind", ["down", "deaf", "mute", "loss"])
def test_a_link_of_either_end_may_hold_a_body_or_an_answer_back_until_the_other_counts_as_gone(
    host: str, kind: Kind
) -> None:
    assert "504:replica-unreachable" in costs_of(LinkFault(kind, host, USER_TIMEOUT_S))
    assert "504:replica-unreachable" not in costs_of(LinkFault(kind, host, 2.0))


@pytest.mark.parametrize("host", ["control", "callers"])
def test_other_links_cost_no_replica(host: str) -> None:
    assert "504:replica-unreachable" not in costs_of(LinkFault("loss", host, 18.0, loss=0.3))
