"""Limits judged in the process: a worker's part of them, bounded memory, and nobody forgotten who has requests open."""

from __future__ import annotations

import socket
from typing import Any

from headrace.appproxy.dataplane.ratelimit.limiter import RateLimiter
from headrace.appproxy.dataplane.ratelimit.local import LocalRateLimiter
from headrace.appproxy.dataplane.ratelimit.policy import DAY_S, UNLIMITED, Quota, Reservation
from headrace.common.contracts.messages.routes import RateLimits
from headrace.common.contracts.reasons.proxy import ProxyReason

ONE = RateLimits(in_flight=1)


def limits_at(now: list[float], **arguments: Any) -> LocalRateLimiter:
    return LocalRateLimiter(clock=lambda: now[0], wall=lambda: now[0], **arguments)


def taken(limits: LocalRateLimiter, caller: str, bound: RateLimits = ONE, tokens: int = 0) -> Reservation:
    found = limits.reserve(caller, bound, tokens).reservation
    assert found is not None
    return found


def test_callers_do_not_share() -> None:
    limits = limits_at([0.0])
    first = taken(limits, "a")
    taken(limits, "b")
    refused = limits.reserve("a", ONE, 0)
    assert (refused.allowed, refused.code, refused.limiter_mode, refused.reservation) == (
        False,
        "caller-in-flight",
        "local",
        None,
    )
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
    assert limits.reserve("a", narrow, 1).code == ProxyReason.TOKEN_BUDGET
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


def test_who_keeps_calling_is_not_forgotten_for_those_who_call_once() -> None:
    limits = limits_at([0.0], max_callers=20)
    one_a_second = RateLimits(requests_per_second=1)
    assert limits.reserve("steady", one_a_second, 0).allowed
    for number in range(500):
        assert limits.reserve(f"c{number}", one_a_second, 0).allowed
        assert not limits.reserve("steady", one_a_second, 0).allowed
        assert len(limits) <= 30


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
    limits = RateLimiter("", divided_by=2)
    bound = RateLimits(in_flight=2)
    first = await limits.reserve("a", bound, 0)
    second = await limits.reserve("a", bound, 0)
    assert (first.allowed, first.limiter_mode, second.code) == (True, "local", "caller-in-flight")
    await limits.settle(second.reservation, 0)
    await limits.settle(first.reservation, None)
    assert (await limits.reserve("a", bound, 0)).allowed
    await limits.close()


def test_judged_and_settled_here_nothing_has_to_be_awaited() -> None:
    now = [0.0]
    limits = RateLimiter("", clock=lambda: now[0], wall=lambda: now[0])
    bound = RateLimits(in_flight=1, tokens_per_day=100)
    verdict = limits.reserve_now("a", bound, 60)
    assert verdict is not None
    assert (verdict.allowed, verdict.limiter_mode, verdict.remaining_tokens) == (True, "local", 40)
    refused = limits.reserve_now("a", bound, 1)
    assert refused is not None
    assert (refused.code, refused.reservation) == ("caller-in-flight", None)
    assert limits.settle_now(refused.reservation, 0), "a refusal holds nothing"
    assert limits.settle_now(verdict.reservation, 10)
    assert limits.settle_now(verdict.reservation, 90), "safe to repeat"
    again = limits.reserve_now("a", bound, 0)
    assert again is not None
    assert (again.allowed, again.remaining_tokens) == (True, 90)
    now[0] = float(DAY_S)
    assert limits.settle_now(again.reservation, None)
    tomorrow = limits.reserve_now("a", bound, 100)
    assert tomorrow is not None
    assert tomorrow.remaining_tokens == 0, "a new day has its whole budget"


async def test_with_a_redis_it_has_to_be_asked_until_it_is_away() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and never listens
        limits = RateLimiter(f"redis://127.0.0.1:{nobody.getsockname()[1]}/0", retry_s=3600)
        assert limits.limiter_mode == "shared"
        assert limits.reserve_now("a", ONE, 0) is None
        shared = Reservation("a", Quota(ONE), 0, 0.0, 0, "a lease")
        assert not limits.settle_now(shared, 0)
        verdict = await limits.reserve("a", ONE, 0)
        assert (verdict.allowed, verdict.limiter_mode, limits.limiter_mode) == (True, "local", "local")
        refused = limits.reserve_now("a", ONE, 0)
        assert refused is not None
        assert refused.code == ProxyReason.CALLER_IN_FLIGHT
        assert limits.settle_now(shared, 0), "kept until Redis is back"
        assert limits.settle_now(verdict.reservation, 0)
        await limits.close()


def test_a_raised_rate_is_there_at_once_and_a_lowered_one_is_no_debt() -> None:
    now = [1000.0]
    limits = limits_at(now)
    slow, fast = RateLimits(requests_per_second=0.001), RateLimits(requests_per_second=10)
    assert limits.reserve("a", slow, 0).allowed
    assert limits.reserve("a", slow, 0).wait_s == 1000
    assert [limits.reserve("a", fast, 0).allowed for _ in range(10)] == [True] * 9 + [False], "the one before counts"
    lowered = limits.reserve("a", RateLimits(requests_per_second=1), 0)
    assert (lowered.code, lowered.wait_s) == ("request-rate", 1)
    now[0] += 1
    assert limits.reserve("a", RateLimits(requests_per_second=1), 0).allowed


def test_tokens_that_were_used_stay_used_when_their_limit_changes() -> None:
    now = [1000.0]
    limits = limits_at(now)
    few, many = RateLimits(tokens_per_minute=60), RateLimits(tokens_per_minute=6000)
    limits.settle(taken(limits, "a", few, 60), 120)  # 60 of them debt
    assert limits.reserve("a", few, 1).wait_s == 61
    held = taken(limits, "a", many, 1000)
    assert limits.reserve("a", many, 0).remaining_tokens == 6000 - 120 - 1000
    assert limits.reserve("a", few, 60).wait_s <= 120, "an empty bucket, and the debt"
    limits.settle(held, 0)
    limits.settle(taken(limits, "b", many, 6000), 6000)
    assert limits.reserve("b", few, 60).wait_s == 60


def test_a_limit_that_is_lifted_and_comes_back_knows_what_was_used() -> None:
    now = [1000.0]
    limits = limits_at(now)
    minute, nothing = RateLimits(tokens_per_minute=100), RateLimits(in_flight=9)
    taken(limits, "a", minute, 80)
    held = taken(limits, "a", nothing, 50)
    limits.settle(held, 50)
    assert limits.reserve("a", RateLimits(tokens_per_minute=1000), 0).remaining_tokens == 920
