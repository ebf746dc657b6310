"""Passive health: what takes a replica out, how it comes back, and that a service is never emptied by it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.balancing.outlier import Fault, OutlierDetector, eligible


def test_a_failed_connect_takes_out_at_once_and_a_working_one_brings_back() -> None:
    passed = OutlierDetector(first_s=1.0)
    assert passed.record_failure("a", "connect", 10.0)
    assert passed.ejected() == {"a"}
    assert passed.due_probes(10.9) == []
    assert passed.due_probes(11.0) == ["a"]
    assert passed.due_probes(11.1) == []  # one probe at a time
    passed.record_probe("a", 11.2, well=False)
    assert passed.due_probes(13.1) == []  # twice as long now
    assert passed.due_probes(13.2) == ["a"]
    passed.record_probe("a", 13.3, well=True)
    assert passed.ejected() == frozenset()
    assert passed.record_failure("a", "connect", 14.0)  # soon after its return: longer again
    assert passed.due_probes(17.9) == []
    assert passed.due_probes(18.0) == ["a"]


@pytest.mark.parametrize(("trouble", "times"), [("connect", 1), ("dropped", 2), ("slow", 2), ("unavailable", 3)])
def test_how_often_in_a_row(trouble: Fault, times: int) -> None:
    passed = OutlierDetector()
    assert [passed.record_failure("a", trouble, 1.0) for _ in range(times)] == [False] * (times - 1) + [True]


def test_an_answer_in_between_begins_the_row_anew() -> None:
    passed = OutlierDetector()
    for now_s in range(20):
        assert not passed.record_failure("a", "dropped", now_s)
        assert not passed.record_status("a", 404, now_s + 0.5)
        assert not passed.record_status("a", 503, now_s + 0.6)
        assert not passed.record_status("a", 500, now_s + 0.7)
    assert passed.ejected() == frozenset()


@given(st.lists(st.sampled_from([200, 400, 401, 404, 422, 429, 499, 500, 504]), max_size=50))
def test_what_callers_do_wrong_never_counts(statuses: list[int]) -> None:
    passed = OutlierDetector()
    assert not any(passed.record_status("a", status, 1.0) for status in statuses)
    assert not passed.suspects


def test_an_engine_that_says_503_comes_back_on_trial() -> None:
    passed = OutlierDetector()
    assert [passed.record_status("a", 503, 1.0) for _ in range(3)] == [False, False, True]
    assert passed.due_probes(2.0) == []
    assert passed.on_trial() == {"a"}
    assert passed.ejected() == frozenset()
    assert passed.record_status("a", 503, 2.5)  # once is enough now, and for longer
    assert passed.due_probes(4.4) == []
    assert passed.ejected() == {"a"}
    passed.due_probes(4.5)
    assert not passed.record_status("a", 200, 4.6)
    assert passed.on_trial() == frozenset()
    assert not passed.record_status("a", 200, 7.0)
    assert not passed.suspects


def test_the_gone_are_forgotten() -> None:
    passed = OutlierDetector()
    passed.record_failure("a", "connect", 1.0)
    passed.keep_only({"b"})
    assert not passed.suspects


@dataclass
class One:
    key: str


def test_while_requests_wait_for_it_a_connect_is_tried_before_its_time() -> None:
    passed = OutlierDetector(first_s=8.0)
    passed.record_failure("a", "connect", 10.0)
    for _ in range(2):
        passed.record_failure("b", "slow", 10.0)
    assert passed.due_probes(10.5) == []
    assert passed.due_probes(10.5, awaited=True) == ["a"]
    assert passed.due_probes(10.6, awaited=True) == []  # one probe at a time
    passed.record_probe("a", 10.7, well=False)
    assert passed.due_probes(10.8, awaited=True) == ["a"]


def test_whoever_cannot_be_connected_to_is_unreachable_whatever_it_did_before() -> None:
    passed = OutlierDetector()
    for _ in range(2):
        passed.record_failure("a", "slow", 1.0)
    assert passed.unreachable() == frozenset()
    assert not passed.record_failure("a", "connect", 1.1), "it is out already"
    assert passed.unreachable() == {"a"}
    assert passed.due_probes(2.1) == ["a"], "it comes back by a connect"
    passed.record_probe("a", 2.2, well=True)
    assert passed.unreachable() == frozenset()


@given(st.integers(1, 9), st.data())
def test_most_out_is_panic_and_only_who_cannot_be_connected_to_stays_out(number: int, data: st.DataObject) -> None:
    able = [One(str(n)) for n in range(number)]
    keys = [one.key for one in able]
    out = data.draw(st.sets(st.sampled_from(keys)))
    unreachable = data.draw(st.sets(st.sampled_from(sorted(out)))) if out else set()
    left, panic = eligible(able, out, unreachable)
    assert panic == (2 * len(out) > number)
    assert left == [one for one in able if one.key not in (unreachable if panic else out)]


@given(st.integers(1, 9), st.data())
def test_most_out_is_panic_and_the_last_is_never_taken_out(number: int, data: st.DataObject) -> None:
    able = [One(str(n)) for n in range(number)]
    out = data.draw(st.sets(st.sampled_from([one.key for one in able])))
    left, panic = eligible(able, out)
    assert left
    assert panic == (2 * len(out) > number)
    assert left == (able if panic else [one for one in able if one.key not in out])
