"""Local rate limiter, in this process's memory: one worker's part of the limits."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from headrace.appproxy.dataplane.ratelimit.policy import (
    DAY_S,
    UNLIMITED,
    Quota,
    Reservation,
    Usage,
    Verdict,
    charge,
    follow,
    judge,
    settle,
    verdict_of,
)
from headrace.common.contracts.messages.routes import RateLimits

_EVICTION_TRIES: Final = 8
"""Callers examined for eviction at each new one: O(1), and no bound is enforced if all have open requests."""


class _Known:
    __slots__ = ("called", "limits", "quota", "usage")

    def __init__(self, limits: RateLimits, quota: Quota) -> None:
        self.limits, self.quota, self.usage = limits, quota, Usage()
        self.called = False
        """Whether it was used since eviction last looked at it: then it gets a second chance (the CLOCK algorithm)."""


class LocalRateLimiter:
    """In-memory rate limiter of one worker. With `divided_by` workers, each allows that part of every limit, at least
    one.

    Remembers about `max_callers`; beyond that one that was not used recently is evicted (CLOCK), but never one with open
    reservations. `clock` is monotonic; `wall` is seconds since 1970, for the UTC day.
    """

    def __init__(
        self,
        divided_by: int = 1,
        *,
        max_callers: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._divided_by = divided_by
        self._max_callers = max_callers
        self._clock = clock
        self._wall = wall
        self._known: OrderedDict[str, _Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def reserve(self, caller: str, limits: RateLimits, tokens: int) -> Verdict:
        """Decide on a request of `caller`; if allowed, it holds the verdict's reservation until settle().

        Without a token or concurrency limit there is nothing to settle, and no reservation.
        """
        known = self._known.get(caller)
        if known is not None and known.limits is not limits and known.limits == limits:
            known.limits = limits  # of a project's token each service's table has an object of its own
        if known is None or known.limits is not limits:
            quota = Quota(limits, self._divided_by)
            if known is None:
                if not quota.bounds_anything:
                    return UNLIMITED
                known = self._remember(caller, limits, quota)
            known.limits, known.quota = limits, quota
            follow(quota, known.usage, now_s=self._clock())
        known.called = True
        quota, usage = known.quota, known.usage
        if not quota.bounds_anything:
            return UNLIMITED
        now_s = self._clock()
        unix_s = self._wall() if quota.tokens_per_day else 0.0  # for that limit only: each look at a clock takes time
        code, wait_s = judge(quota, usage, tokens, now_s=now_s, unix_s=unix_s)
        reservation = None
        if code is None:
            day = int(unix_s // DAY_S) if quota.tokens_per_day else 0
            reservation = Reservation(caller, quota, tokens, now_s, day)
            charge(quota, usage, reservation, now_s=now_s)
        verdict = verdict_of(quota, usage, code, wait_s, now_s=now_s, unix_s=unix_s, limiter_mode="local")
        verdict.reservation = reservation if quota.needs_settling else None
        return verdict

    def settle(self, reservation: Reservation, tokens: int | None) -> None:
        """Settle a request that used `tokens`: 0 gives everything back, None keeps the estimate. Idempotent."""
        known = self._known.get(reservation.caller)
        if known is not None:
            settle(known.usage, reservation, tokens, now_s=self._clock())

    def _remember(self, caller: str, limits: RateLimits, quota: Quota) -> _Known:
        for _ in range(_EVICTION_TRIES):
            if len(self._known) < self._max_callers:
                break
            oldest, known = self._known.popitem(last=False)
            if known.usage.in_flight or known.called:
                known.called = False
                self._known[oldest] = known
        known = self._known[caller] = _Known(limits, quota)
        return known
