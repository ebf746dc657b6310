"""Only what is safe to send again is sent again, and never much of it."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.balancing.retry import IDEMPOTENT, RetryBudget, Sent, may_move, never_ran, next_step
from headrace.appproxy.dataplane.upstream.failures import Failure, FailureKind
from headrace.common.contracts.reasons.proxy import ProxyReason


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
        (step(ProxyReason.CONNECT_FAILED), "other-replica"),
        (step(ProxyReason.CONNECT_TIMEOUT, sent="kept"), "other-replica"),
        (step(ProxyReason.CONNECTION_LOST, "GET"), "other-replica"),
        (step(ProxyReason.CONNECTION_LOST, "PUT", "kept"), "other-replica"),
        (step(ProxyReason.CONNECTION_LOST, "PUT", "gone"), "give-up"),
        (step(ProxyReason.CONNECTION_LOST, "POST"), "give-up"),
        (step(ProxyReason.CONNECTION_LOST, "POST", reused=True, seconds=0.001), "same-replica"),
        (step(ProxyReason.CONNECTION_LOST, "POST", "kept", reused=True, seconds=0.001), "same-replica"),
        (step(ProxyReason.CONNECTION_LOST, "POST", "gone", reused=True, seconds=0.001), "give-up"),
        (step(ProxyReason.CONNECTION_LOST, "POST", reused=True, seconds=0.5), "give-up"),
        (step(ProxyReason.CONNECTION_LOST, "GET", reused=True, seconds=0.5), "same-replica"),
        (step(ProxyReason.REPLICA_UNREACHABLE, "GET", reused=True, seconds=0.001), "other-replica"),
        (step(ProxyReason.REPLICA_UNREACHABLE, "PUT", "gone"), "give-up"),
        (step(ProxyReason.REPLICA_UNREACHABLE, "POST", reused=True, seconds=0.001), "give-up"),
        (step(ProxyReason.FIRST_BYTE_TIMEOUT, "GET"), "give-up"),
        (step(ProxyReason.BAD_RESPONSE, "GET"), "give-up"),
    ],
)
def test_what_may_be_sent_again(found: str, expected: str) -> None:
    assert found == expected


@given(
    kind=st.sampled_from(get_args(FailureKind)),
    method=st.sampled_from(sorted(IDEMPOTENT | {"POST", "PATCH"})),
    sent=st.sampled_from(get_args(Sent)),
    retries=st.integers(0, 5),
    reused=st.booleans(),
    seconds=st.floats(0, 10),
)
def test_never_more_than_two_and_never_what_may_have_run(
    kind: FailureKind, method: str, sent: Sent, retries: int, *, reused: bool, seconds: float
) -> None:
    found = step(kind, method, sent, retries=retries, reused=reused, seconds=seconds)
    if retries >= 2 or sent == "gone":
        assert found == "give-up"
    if method not in IDEMPOTENT and not kind.startswith("connect-") and not (reused and seconds <= 0.02):
        assert found == "give-up"


@given(st.lists(st.tuples(st.sampled_from(["request", "retry"]), st.floats(0, 2)), max_size=300))
def test_retries_stay_below_a_fifth_of_the_requests(steps: list[tuple[str, float]]) -> None:
    budget, now_s, requests, retries = RetryBudget(), 100.0, [], []
    for what, later_s in steps:
        now_s += later_s
        if what == "request":
            requests.append(now_s)
            budget.count_requests(len(requests), now_s)
        elif budget.may_retry(len(requests), now_s):
            retries.append(now_s)
        lately = [at for at in requests if at > now_s - 13]
        assert len([at for at in retries if at > now_s - 9]) <= 30 + 0.2 * len(lately)


def test_a_quiet_service_may_retry_and_a_failing_one_may_not_go_on() -> None:
    budget = RetryBudget()
    assert budget.may_retry(0, 5.0)
    assert sum(budget.may_retry(1000, 6.0) for _ in range(1000)) == 229
    budget.count_requests(1000, 10.0)
    assert not budget.may_retry(1000, 15.0)
    assert budget.may_retry(1000, 30.0)


@given(
    method=st.sampled_from(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH"]),
    retries=st.integers(0, 3),
    was_sent=st.booleans(),
)
def test_only_what_is_safe_or_was_not_sent_leaves_a_replica_at_work(
    method: str, retries: int, *, was_sent: bool
) -> None:
    moves = may_move(method=method, was_sent=was_sent, sent="kept", retries=retries)
    assert moves == (retries < 2 and (not was_sent or method in {"GET", "HEAD", "OPTIONS"}))
    assert not may_move(method=method, was_sent=was_sent, sent="gone", retries=retries)


@pytest.mark.parametrize("kind", get_args(FailureKind))
def test_only_what_reached_no_replica_never_ran(kind: FailureKind) -> None:
    reached = kind not in ("connect-failed", "connect-timeout")
    assert never_ran(Failure(kind, ""), sent="kept") == never_ran(Failure(kind, ""), sent="nothing") == (not reached)
    assert not never_ran(Failure(kind, ""), sent="gone")
