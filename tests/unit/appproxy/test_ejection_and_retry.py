"""Passing over replicas that refuse, and sending again only what is safe to send again."""

from __future__ import annotations

from typing import get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.domain.ejection import Ejections
from headrace.appproxy.domain.retry import IDEMPOTENT, Failure, FailureKind, Sent, next_step
from headrace.common.contracts.ids import SessionId

A, B = SessionId(UUID(int=1)), SessionId(UUID(int=2))


def test_a_refusal_takes_out_for_a_while_and_longer_when_it_comes_again() -> None:
    ejections = Ejections(first_s=1, most_s=8)
    now = 100.0
    for lasts in (1, 2, 4, 8, 8):
        assert ejections.refused(A, now)
        assert not ejections.refused(A, now)  # a burst of refusals is one
        assert ejections.out(now + lasts - 0.01) == {A}
        assert ejections.out(now + lasts) == frozenset()
        now += lasts
    assert ejections.refused(A, now + 8)  # long quiet: back to the first time out
    assert ejections.out(now + 9) == frozenset()


def test_two_dropped_connections_in_a_row_take_out_one_does_not() -> None:
    ejections = Ejections()
    assert not ejections.dropped(A, 0.0)
    ejections.answered(A)
    assert not ejections.dropped(A, 0.1), "an answer lies between"
    assert ejections.dropped(A, 0.2)
    assert ejections.out(0.3) == {A}
    ejections.keep_only(())
    assert not ejections.dropped(A, 0.4), "it was forgotten"


def test_an_answer_brings_it_back_and_the_gone_are_forgotten() -> None:
    ejections = Ejections()
    ejections.refused(A, 0)
    ejections.refused(B, 0)
    ejections.answered(A)
    assert ejections.out(0) == {B}
    ejections.keep_only({A})
    assert ejections.out(0) == frozenset()


def step(
    kind: FailureKind,
    method: str = "POST",
    sent: Sent = "nothing",
    *,
    retries: int = 0,
    reused: bool = False,
    seconds: float = 1.0,
) -> str:
    failure = Failure(kind, "", reused=reused, seconds=seconds)
    return next_step(failure, method=method, sent=sent, retries=retries, same_instant_s=0.02)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (step("connect-failed"), "other-replica"),
        (step("connect-timeout", sent="kept"), "other-replica"),
        (step("connection-lost", "GET"), "other-replica"),
        (step("connection-lost", "PUT", "kept"), "other-replica"),
        (step("connection-lost", "PUT", "gone"), "give-up"),
        (step("connection-lost", "POST"), "give-up"),
        (step("connection-lost", "POST", reused=True, seconds=0.001), "same-replica"),
        (step("connection-lost", "POST", "kept", reused=True, seconds=0.001), "same-replica"),
        (step("connection-lost", "POST", "gone", reused=True, seconds=0.001), "give-up"),
        (step("connection-lost", "POST", reused=True, seconds=0.5), "give-up"),
        (step("connection-lost", "GET", reused=True, seconds=0.5), "same-replica"),
        (step("first-byte-timeout", "GET"), "give-up"),
        (step("bad-response", "GET"), "give-up"),
    ],
)
def test_what_may_be_sent_again(found: str, expected: str) -> None:
    assert found == expected


@given(
    kind=st.sampled_from(get_args(FailureKind)), method=st.sampled_from(sorted(IDEMPOTENT | {"POST", "PATCH"})),
    sent=st.sampled_from(get_args(Sent)), retries=st.integers(0, 5), reused=st.booleans(), seconds=st.floats(0, 10),
)  # fmt: skip
def test_never_more_than_two_and_never_what_may_have_run(
    kind: FailureKind, method: str, sent: Sent, retries: int, *, reused: bool, seconds: float
) -> None:
    found = step(kind, method, sent, retries=retries, reused=reused, seconds=seconds)
    if retries >= 2 or sent == "gone":
        assert found == "give-up"
    if method not in IDEMPOTENT and not kind.startswith("connect-") and not (reused and seconds <= 0.02):
        assert found == "give-up"
