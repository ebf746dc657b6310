"""The account of a chaos run finds each thing that must not be, and nothing else."""

from __future__ import annotations

import pytest

from tests.chaos.stack.account import Execution, FaultRecord, Kind, RequestRecord, read_journal, settle

VICTIM, OTHER = "victim", "other"
KILLED = FaultRecord(
    1, "kill-replica", VICTIM, 100.0, frozenset({"cut", "502:connection-lost"}), frozenset({VICTIM}), 100.0, 105.0
)


def asked(outcome: str, kind: Kind = "post", *, sent_s: float = 99.9, ended_s: float = 100.2) -> RequestRecord:
    return RequestRecord("r", kind, "unary", sent_s, ended_s, outcome)


def rules(one: RequestRecord, *sessions: str, faults: tuple[FaultRecord, ...] = (KILLED,)) -> list[str]:
    runs = {one.id: [Execution(session, 99.95, ended=True) for session in sessions]} if sessions else {}
    return [broken.rule for broken in settle([one], runs, faults, sent=1).broken]


@pytest.mark.parametrize(
    ("one", "sessions"),
    [
        (asked("200"), (OTHER,)),
        (asked("200", "get"), (VICTIM, OTHER)),
        (asked("cut:connection-lost", "stream"), (VICTIM,)),
        (asked("502:connection-lost"), (VICTIM,)),
        (asked("502:connection-lost"), ()),
    ],
)
def test_what_is_as_promised_breaks_no_rule(one: RequestRecord, sessions: tuple[str, ...]) -> None:
    assert rules(one, *sessions) == []


@pytest.mark.parametrize(
    ("one", "sessions", "rule"),
    [
        (asked("200"), (VICTIM, OTHER), "ran 2 times, though it is not safe"),
        (asked("200", "get"), (VICTIM, OTHER, OTHER, OTHER), "ran 4 times"),
        (asked("200"), (), "answered 200, but no replica ran it"),
        (asked("503:starting"), (OTHER,), "says that it did not run, but it did"),
        (asked("502:connection-lost"), (OTHER,), "there is no reason"),
        (asked("502:connection-lost", sent_s=106, ended_s=107), (VICTIM,), "there is no reason"),
        (asked("502:connection-lost", sent_s=97, ended_s=98), (VICTIM,), "there is no reason"),
        (asked("500:?"), (VICTIM,), "there is no reason"),
        (asked("lost"), (), "there is no reason"),
        (asked("timeout"), (VICTIM,), "there is no reason"),
        (asked("wrong:the answer to another"), (VICTIM,), "there is no reason"),
    ],
)
def test_what_is_not_as_promised_breaks_a_rule(one: RequestRecord, sessions: tuple[str, ...], rule: str) -> None:
    assert any(rule in found for found in rules(one, *sessions))


def test_a_request_without_an_outcome_is_found() -> None:
    account = settle([asked("200")], {"r": [Execution(OTHER, 0.0, ended=True)]}, [], sent=2)
    assert [broken.rule for broken in account.broken] == ["2 requests were sent, 1 ended, 1 different ones"]


def test_a_run_that_nobody_asked_for_is_found() -> None:
    account = settle([], {"ghost": [Execution(OTHER, 0.0, ended=True)]}, [], sent=0)
    assert [broken.rule for broken in account.broken] == ["a replica ran what nobody asked for"]


def test_a_request_that_two_faults_met_is_excused_by_either() -> None:
    rollout = FaultRecord(2, "rollout", "unary", 99.0, frozenset(), None, 99.0, 104.0)
    assert rules(asked("502:connection-lost"), VICTIM, faults=(rollout, KILLED)) == []
    assert rules(asked("502:connection-lost"), VICTIM, faults=(rollout,)) != []


def test_requests_are_counted_beside_each_fault_that_they_met() -> None:
    account = settle([asked("502:connection-lost")], {}, [KILLED], sent=1)
    assert account.by_step == {1: {"502:connection-lost": 1}}
    assert account.by_kind == {"post": {"502:connection-lost": 1}}


def test_the_journal_says_how_often_and_where_each_ran() -> None:
    lines = ["B a one 1.0", "B b one 1.5", "E a one 2.0", "B a two 3.0"]
    assert read_journal(lines) == {
        "a": [Execution("one", 1.0, ended=True), Execution("two", 3.0, ended=False)],
        "b": [Execution("one", 1.5, ended=False)],
    }
