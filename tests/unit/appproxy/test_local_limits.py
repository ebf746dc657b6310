"""Limits judged in the process: a worker's part of them, bounded memory, and nobody forgotten who has requests open."""

from __future__ import annotations

from typing import Any

from headrace.appproxy.domain.rates import UNLIMITED, Reservation
from headrace.appproxy.limits import CallerLimits
from headrace.appproxy.limits.local import LocalLimits
from headrace.common.contracts.messages.routes import RateLimits

ONE = RateLimits(in_flight=1)


def limits_at(now: list[float], **arguments: Any) -> LocalLimits:
    return LocalLimits(clock=lambda: now[0], wall=lambda: now[0], **arguments)


def taken(limits: LocalLimits, caller: str, bound: RateLimits = ONE, tokens: int = 0) -> Reservation:
    found = limits.reserve(caller, bound, tokens).reservation
    assert found is not None
    return found


def test_callers_do_not_share() -> None:
    limits = limits_at([0.0])
    first = taken(limits, "a")
    taken(limits, "b")
    refused = limits.reserve("a", ONE, 0)
    assert (refused.allowed, refused.code, refused.judged, refused.reservation) == (
        False, "caller-in-flight", "local", None,
    )  # fmt: skip
    limits.settle(first, None)
    limits.settle(first, None)
    taken(limits, "a")
    assert not limits.reserve("a", ONE, 0).allowed


def test_each_of_several_workers_allows_its_part() -> None:
    now = [0.0]
    bound = RateLimits(requests_per_second=8, tokens_per_day=1000)
    parts = [limits_at(now, divided_by=4) for _ in range(4)]
    assert sum(one.reserve("a", bound, 1).allowed for one in parts for _ in range(9)) == 8
    assert all(one.reserve("b", bound, 250).remaining_tokens == 0 for one in parts)


def test_without_limits_nothing_is_remembered() -> None:
    limits = limits_at([0.0])
    assert limits.reserve("a", RateLimits(), 9) is UNLIMITED
    assert len(limits) == 0


def test_a_rate_alone_needs_no_settling() -> None:
    limits = limits_at([0.0])
    verdict = limits.reserve("a", RateLimits(requests_per_second=1), 0)
    assert verdict.allowed
    assert verdict.reservation is None


def test_new_limits_count_at_once_and_what_was_used_stays_used() -> None:
    limits = limits_at([0.0])
    wide, narrow = RateLimits(tokens_per_day=100), RateLimits(tokens_per_day=50)
    taken(limits, "a", wide, 60)
    assert limits.reserve("a", narrow, 1).code == "token-budget"
    taken(limits, "a", RateLimits(tokens_per_day=100), 40)
    assert limits.reserve("a", RateLimits(), 1) is UNLIMITED


def test_the_longest_away_is_forgotten_but_not_with_open_requests() -> None:
    limits = limits_at([0.0], max_callers=3)
    held = taken(limits, "holds")
    for number in range(50):
        limits.settle(taken(limits, f"c{number}"), None)
    assert len(limits) == 3
    assert not limits.reserve("holds", ONE, 0).allowed
    limits.settle(held, None)
    taken(limits, "holds")


def test_with_all_open_it_grows_and_shrinks_again() -> None:
    limits = limits_at([0.0], max_callers=3)
    held = [taken(limits, f"c{number}") for number in range(20)]
    assert len(limits) == 20
    for one in held:
        limits.settle(one, None)
    for number in range(20):
        limits.settle(taken(limits, f"d{number}"), None)
    assert len(limits) == 3


async def test_without_redis_the_facade_judges_here() -> None:
    limits = CallerLimits(None, divided_by=2)
    bound = RateLimits(in_flight=2)
    first = await limits.reserve("a", bound, 0)
    second = await limits.reserve("a", bound, 0)
    assert (first.allowed, first.judged, second.code) == (True, "local", "caller-in-flight")
    await limits.settle(second.reservation, 0)
    await limits.settle(first.reservation, None)
    assert (await limits.reserve("a", bound, 0)).allowed
    await limits.close()
