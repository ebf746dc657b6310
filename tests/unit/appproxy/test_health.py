"""Passive health: what takes a replica out, how it comes back, and that a service is never emptied by it."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.domain.health import Passed, Trouble, passable


def test_a_failed_connect_takes_out_at_once_and_a_working_one_brings_back() -> None:
    passed = Passed(first_s=1.0)
    assert passed.failed("a", "connect", 10.0)
    assert passed.out() == {"a"}
    assert passed.due(10.9) == []
    assert passed.due(11.0) == ["a"]
    assert passed.due(11.1) == []  # one probe at a time
    passed.probed("a", 11.2, well=False)
    assert passed.due(13.1) == []  # twice as long now
    assert passed.due(13.2) == ["a"]
    passed.probed("a", 13.3, well=True)
    assert passed.out() == frozenset()
    assert passed.failed("a", "connect", 14.0)  # soon after its return: longer again
    assert passed.due(17.9) == []
    assert passed.due(18.0) == ["a"]


@pytest.mark.parametrize(("trouble", "times"), [("connect", 1), ("dropped", 2), ("slow", 2), ("unavailable", 3)])
def test_how_often_in_a_row(trouble: Trouble, times: int) -> None:
    passed = Passed()
    assert [passed.failed("a", trouble, 1.0) for _ in range(times)] == [False] * (times - 1) + [True]


def test_an_answer_in_between_begins_the_row_anew() -> None:
    passed = Passed()
    for now_s in range(20):
        assert not passed.failed("a", "dropped", now_s)
        assert not passed.answered("a", 404, now_s + 0.5)
        assert not passed.answered("a", 503, now_s + 0.6)
        assert not passed.answered("a", 500, now_s + 0.7)
    assert passed.out() == frozenset()


@given(st.lists(st.sampled_from([200, 400, 401, 404, 422, 429, 499, 500, 504]), max_size=50))
def test_what_callers_do_wrong_never_counts(statuses: list[int]) -> None:
    passed = Passed()
    assert not any(passed.answered("a", status, 1.0) for status in statuses)
    assert not passed.troubled


def test_an_engine_that_says_503_comes_back_on_trial() -> None:
    passed = Passed()
    assert [passed.answered("a", 503, 1.0) for _ in range(3)] == [False, False, True]
    assert passed.due(2.0) == []
    assert passed.on_trial() == {"a"}
    assert passed.out() == frozenset()
    assert passed.answered("a", 503, 2.5)  # once is enough now, and for longer
    assert passed.due(4.4) == []
    assert passed.out() == {"a"}
    passed.due(4.5)
    assert not passed.answered("a", 200, 4.6)
    assert passed.on_trial() == frozenset()
    assert not passed.answered("a", 200, 7.0)
    assert not passed.troubled


def test_the_gone_are_forgotten() -> None:
    passed = Passed()
    passed.failed("a", "connect", 1.0)
    passed.keep_only({"b"})
    assert not passed.troubled


@dataclass
class One:
    key: str


def test_while_requests_wait_for_it_a_connect_is_tried_before_its_time() -> None:
    passed = Passed(first_s=8.0)
    passed.failed("a", "connect", 10.0)
    for _ in range(2):
        passed.failed("b", "slow", 10.0)
    assert passed.due(10.5) == []
    assert passed.due(10.5, awaited=True) == ["a"]
    assert passed.due(10.6, awaited=True) == []  # one probe at a time
    passed.probed("a", 10.7, well=False)
    assert passed.due(10.8, awaited=True) == ["a"]


def test_whoever_cannot_be_connected_to_is_unreachable_whatever_it_did_before() -> None:
    passed = Passed()
    for _ in range(2):
        passed.failed("a", "slow", 1.0)
    assert passed.unreachable() == frozenset()
    assert not passed.failed("a", "connect", 1.1), "it is out already"
    assert passed.unreachable() == {"a"}
    assert passed.due(2.1) == ["a"], "it comes back by a connect"
    passed.probed("a", 2.2, well=True)
    assert passed.unreachable() == frozenset()


@given(st.integers(1, 9), st.data())
def test_most_out_is_panic_and_only_who_cannot_be_connected_to_stays_out(number: int, data: st.DataObject) -> None:
    able = [One(str(n)) for n in range(number)]
    keys = [one.key for one in able]
    out = data.draw(st.sets(st.sampled_from(keys)))
    unreachable = data.draw(st.sets(st.sampled_from(sorted(out)))) if out else set()
    left, panic = passable(able, out, unreachable)
    assert panic == (2 * len(out) > number)
    assert left == [one for one in able if one.key not in (unreachable if panic else out)]


@given(st.integers(1, 9), st.data())
def test_most_out_is_panic_and_the_last_is_never_taken_out(number: int, data: st.DataObject) -> None:
    able = [One(str(n)) for n in range(number)]
    out = data.draw(st.sets(st.sampled_from([one.key for one in able])))
    left, panic = passable(able, out)
    assert left
    assert panic == (2 * len(out) > number)
    assert left == (able if panic else [one for one in able if one.key not in out])
