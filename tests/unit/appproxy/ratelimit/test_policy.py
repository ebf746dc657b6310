"""The arithmetic of a caller's limits: never more than allowed, settled exactly, and told as OpenAI's clients read it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.ratelimit.policy import (
    DAY_S,
    MAX_DEBT_S,
    MAX_TOKENS,
    UNLIMITED,
    Code,
    Quota,
    Reservation,
    Usage,
    Verdict,
    charge,
    duration,
    estimate_tokens,
    judge,
    settle,
    verdict_of,
)
from headrace.common.contracts.messages.routes import MIN_RATE, RateLimits
from headrace.common.contracts.reasons.proxy import ProxyReason
from tests.support.facts import facts


class Caller:
    """One caller at a clock that the test moves."""

    def __init__(self, **limits: Any) -> None:
        self.quota, self.usage, self.now_s = Quota(RateLimits(**limits)), Usage(), 1000.0

    def verdict(self, tokens: int = 0) -> Verdict:
        code, wait_s = judge(self.quota, self.usage, tokens, now_s=self.now_s, unix_s=self.now_s)
        reservation = None
        if code is None:
            reservation = Reservation("a", self.quota, tokens, self.now_s, int(self.now_s // DAY_S))
            charge(self.quota, self.usage, reservation, now_s=self.now_s)
        found = verdict_of(
            self.quota, self.usage, code, wait_s, now_s=self.now_s, unix_s=self.now_s, limiter_mode="local"
        )
        found.reservation = reservation
        return found

    def enter(self, tokens: int = 0) -> Reservation:
        found = self.verdict(tokens).reservation
        assert found is not None
        return found

    def end(self, reservation: Reservation, tokens: int | None) -> None:
        settle(self.usage, reservation, tokens, now_s=self.now_s)

    def why(self, tokens: int = 0) -> Code | None:
        return self.verdict(tokens).code


@given(rate=st.floats(0.1, 100), steps=st.lists(st.floats(0, 3), max_size=80))
def test_in_any_window_no_more_than_a_burst_and_the_rate(rate: float, steps: list[float]) -> None:
    caller = Caller(requests_per_second=rate)
    times = []
    for step in steps:
        caller.now_s += step
        found = caller.verdict()
        if found.allowed:
            times.append(caller.now_s)
        else:
            caller.now_s += found.wait_s + 1e-6
            assert caller.verdict().allowed, "whoever waits as told gets in"
            times.append(caller.now_s)
    for first, start in enumerate(times):
        for last in range(first, len(times)):
            assert last - first + 1 <= max(1, rate) + rate * (times[last] - start) + 1e-3


def test_a_seconds_worth_may_come_at_once_and_one_always() -> None:
    fast, slow = Caller(requests_per_second=5), Caller(requests_per_second=0.1)
    assert [fast.why() for _ in range(6)] == [None] * 5 + ["request-rate"]
    assert slow.why() is None
    assert slow.verdict().wait_s == pytest.approx(10)


def test_in_flight_is_freed_by_settling_once() -> None:
    caller = Caller(in_flight=2)
    first, second = caller.enter(), caller.enter()
    assert caller.why() == ProxyReason.CALLER_IN_FLIGHT
    caller.end(first, None)
    caller.end(first, None)
    caller.enter()
    assert caller.why() == ProxyReason.CALLER_IN_FLIGHT
    caller.end(second, 0)
    assert caller.why() is None


@given(
    uses=st.lists(st.tuples(st.integers(0, 400), st.one_of(st.none(), st.integers(0, 600))), max_size=30),
)
def test_the_days_budget_is_exact(uses: list[tuple[int, int | None]]) -> None:
    caller = Caller(tokens_per_day=2000)
    spent = 0
    for estimate, really in uses:
        found = caller.verdict(estimate)
        assert found.allowed == (spent + estimate <= 2000)
        if found.reservation is not None:
            caller.end(found.reservation, really)
            spent += estimate if really is None else really
        assert caller.usage.day_tokens == spent


def test_the_day_ends_at_midnight_utc_and_what_began_before_counts_to_it() -> None:
    caller = Caller(tokens_per_day=100)
    caller.now_s = 5 * DAY_S - 10.0
    late = caller.enter(100)
    found = caller.verdict(1)
    assert (found.code, found.wait_s) == ("token-budget", 10.0)
    caller.now_s += 10
    caller.enter(60)
    caller.end(late, 100_000)
    assert caller.usage.day_tokens == 60


def test_tokens_given_back_can_be_used_at_once() -> None:
    caller = Caller(tokens_per_minute=1000)
    first = caller.enter(900)
    assert caller.why(200) == ProxyReason.TOKEN_RATE
    caller.end(first, 100)
    found = caller.verdict(900)
    assert found.allowed
    assert found.remaining_tokens == 0


def test_more_than_reserved_is_debt_that_time_pays() -> None:
    caller = Caller(tokens_per_minute=60)
    caller.end(caller.enter(10), 120)
    found = caller.verdict(1)
    assert (found.code, found.remaining_tokens) == ("token-rate", 0)
    assert found.wait_s == pytest.approx(61)
    caller.now_s += 61
    assert caller.why(1) is None


def test_what_flowed_back_by_itself_is_not_given_back_again() -> None:
    caller = Caller(tokens_per_minute=60)
    first = caller.enter(60)
    caller.now_s += 90
    caller.enter(50)
    caller.end(first, 0)
    assert caller.why(11) == ProxyReason.TOKEN_RATE
    assert caller.why(10) is None


@given(
    st.lists(st.tuples(st.sampled_from("re"), st.floats(0, 40), st.integers(0, 90), st.integers(0, 90)), max_size=60)
)
def test_never_more_is_used_than_the_bucket_and_what_flowed_in(steps: list[tuple[str, float, int, int]]) -> None:
    """From the start to any moment, however estimates and the truth differ and whenever requests end."""
    caller = Caller(tokens_per_minute=60)
    began_s, used, held = caller.now_s, 0, []
    for what, step, estimate, part in steps:
        caller.now_s += step
        if what == "r":
            found = caller.verdict(estimate)
            if found.reservation is not None:
                held.append((found.reservation, min(part, found.reservation.minute_tokens)))
        elif held:
            reservation, really = held.pop(part % len(held))
            caller.end(reservation, really)
            used += really
        open_now = sum(reservation.minute_tokens for reservation, _ in held)
        assert used + open_now <= 60 + (caller.now_s - began_s) + 1e-6
        assert caller.usage.token_full_s <= caller.now_s + 60 + 1e-6


def test_an_estimate_above_the_whole_limit_waits_for_a_full_bucket() -> None:
    caller = Caller(tokens_per_minute=60, tokens_per_day=100)
    one = caller.enter(5000)
    assert caller.why(5000) == ProxyReason.TOKEN_BUDGET
    caller.end(one, 10)
    caller.now_s += 60
    assert caller.why(5000) == ProxyReason.TOKEN_BUDGET, "90 of the day are left"
    assert caller.why(90) is None


def test_a_lying_replica_shuts_nobody_out_for_ever() -> None:
    caller = Caller(tokens_per_minute=60)
    caller.end(caller.enter(1), 10**30)
    assert caller.verdict(1).wait_s <= MAX_DEBT_S + 61
    caller.end(Reservation("a", caller.quota, 5, caller.now_s, 0), -5)


def test_of_several_bounds_the_longest_wait_is_told_and_a_refusal_costs_nothing() -> None:
    caller = Caller(requests_per_second=1, in_flight=1, tokens_per_minute=60, tokens_per_day=1000)
    caller.enter(60)
    before = facts(caller.usage)
    assert caller.why(30) == ProxyReason.TOKEN_RATE
    assert caller.why(0) == ProxyReason.REQUEST_RATE
    assert facts(caller.usage) == before


def test_a_part_of_a_limit_is_at_least_one() -> None:
    quota = Quota(RateLimits(requests_per_second=8, in_flight=2, tokens_per_minute=100), 4)
    assert (quota.request_interval_s, quota.in_flight, quota.tokens_per_minute) == (0.5, 1, 25)
    assert not Quota(RateLimits()).bounds_anything
    assert not Quota(RateLimits(requests_per_second=1)).needs_settling


@pytest.mark.parametrize("rate", [5e-324, 1e-300, 1e-12, MIN_RATE])
def test_a_rate_too_small_to_count_is_judged_as_the_least_one(rate: float) -> None:
    caller = Caller(requests_per_second=rate)
    assert caller.why() is None
    refused = caller.verdict()
    assert (refused.code, refused.retry_after_s) == ("request-rate", 100_000)
    assert b"reset-requests: 27h46m40s\r\n" in refused.fields


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, b"0s"), (0.02, b"20ms"), (1, b"1s"), (1.5, b"1.5s"), (360, b"6m0s"), (7205, b"2h0m5s"), (59.9999, b"1m0s")],
)
def test_durations_as_openai_writes_them(seconds: float, text: bytes) -> None:
    assert duration(seconds) == text


def test_header_fields() -> None:
    caller = Caller(requests_per_second=2, tokens_per_minute=600)
    caller.enter(100)
    assert caller.verdict(100).fields.split(b"\r\n") == [
        b"x-ratelimit-limit-requests: 2",
        b"x-ratelimit-remaining-requests: 0",
        b"x-ratelimit-reset-requests: 1s",
        b"x-ratelimit-limit-tokens: 600",
        b"x-ratelimit-remaining-tokens: 400",
        b"x-ratelimit-reset-tokens: 20s",
        b"x-headrace-limits: local",
        b"",
    ]
    refused = caller.verdict(100)
    assert refused.retry_after_s == 1
    assert refused.text
    assert b"retry-after: " not in refused.fields
    assert refused.fields.endswith(b"x-headrace-limits: local\r\nretry-after-ms: 500\r\n")
    assert UNLIMITED.fields == b""


def test_the_tighter_of_minute_and_day_is_told() -> None:
    caller = Caller(tokens_per_minute=600, tokens_per_day=700)
    found = caller.verdict(500)
    assert (found.limit_tokens, found.remaining_tokens) == (600, 100)
    caller.now_s += 60
    found = caller.verdict(10)
    assert (found.limit_tokens, found.remaining_tokens) == (700, 190)


@pytest.mark.parametrize(
    ("body", "most", "tokens"),
    [(4000, 100, 1100), (None, 7, 7), (400, None, 612), (-1, -1, 0), (10**18, 10**18, MAX_TOKENS)],
)
def test_estimates(body: int | None, most: int | None, tokens: int) -> None:
    assert estimate_tokens(body, most) == tokens
