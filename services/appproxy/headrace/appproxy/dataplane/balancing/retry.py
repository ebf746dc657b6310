"""Retry policy and retry budget of requests without a response.

A request is retried only before the first byte of a response, and only if it cannot have run or may run twice (RFC 9110
section 9.2.2, RFC 9112 section 9.3.1.1).
"""

from __future__ import annotations

from collections import deque
from typing import Literal

from headrace.appproxy.dataplane.upstream.failures import Failure
from headrace.common.contracts.reasons.proxy import ProxyReason

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Safe methods (RFC 9110 section 9.2.1): may run twice, even concurrently."""
MAX_RETRIES = 2

Sent = Literal["nothing", "kept", "gone"]
"""How much of the request's body was read: nothing (or it has none), all of it kept for replay, or not kept any
more."""
Step = Literal["other-replica", "same-replica", "give-up"]


def next_step(
    failure: Failure, *, method: str, sent: Sent, retries: int, same_instant_s: float, most: int = MAX_RETRIES
) -> Step:
    """Return the next step after `failure`, with `retries` retries made: retry, retry elsewhere, or give up.

    A kept-alive connection that is lost within `same_instant_s` of being taken was being closed by the replica as the
    request was sent: the request cannot have run, and a new connection to the same replica takes it, whatever its
    method.
    """
    if retries >= most or sent == "gone":
        return "give-up"
    if failure.kind in (ProxyReason.CONNECT_FAILED, ProxyReason.CONNECT_TIMEOUT):
        return "other-replica"
    if failure.kind in (ProxyReason.ENGINE_UNAVAILABLE, ProxyReason.REPLICA_UNREACHABLE):
        # An engine that responds 503 may have run a part all the same (RFC 9110 section 15.6.4 does not exclude it).
        return "other-replica" if method in IDEMPOTENT else "give-up"
    if failure.kind == ProxyReason.CONNECTION_LOST:
        if failure.reused and (failure.seconds <= same_instant_s or method in IDEMPOTENT):
            return "same-replica"
        if method in IDEMPOTENT:
            return "other-replica"
    return "give-up"


def may_move(*, method: str, was_sent: bool, sent: Sent, retries: int, most: int = MAX_RETRIES) -> bool:
    """Return True if a request without a response may leave an ejected replica for another one.

    The replica may still process it: only a safe method moves, or a request of which no byte was sent (`was_sent`).
    """
    return retries < most and sent != "gone" and (not was_sent or method in SAFE)


def never_ran(failure: Failure, *, sent: Sent) -> bool:
    """Return True if a request that ended with `failure` certainly reached no replica, and may be queued as if it were
    new.

    Where it was sent before, that was on a kept-alive connection that was being closed, or it may run twice
    (`next_step`).
    """
    return failure.kind in (ProxyReason.CONNECT_FAILED, ProxyReason.CONNECT_TIMEOUT) and sent != "gone"


class RetryBudget:
    """Retry budget: retries are at most a fifth of the requests of the last ten seconds, or a few per second.

    So retries cannot multiply the load of a service that fails because of its load. The owner counts its requests and
    calls `count_requests` regularly; `now_s` is monotonic.
    """

    def __init__(self, *, share: float = 0.2, floor: int = 30, window_s: float = 10.0) -> None:
        self._share = share
        self._floor = floor
        self._window_s = window_s
        self._retries = 0
        self._past: deque[tuple[float, int, int]] = deque([(0.0, 0, 0)])
        """(time, requests, retries); the first entry is the last one before the window."""

    def count_requests(self, requests: int, now_s: float) -> None:
        """Record the total number of requests so far, and drop what is older than the window."""
        past = self._past
        if now_s - past[-1][0] >= self._window_s / 20:
            past.append((now_s, requests, self._retries))
        while len(past) > 1 and past[1][0] <= now_s - self._window_s:
            past.popleft()

    def may_retry(self, requests: int, now_s: float) -> bool:
        """Return True if one more retry is within the budget, and count it."""
        self.count_requests(requests, now_s)
        _, requests_before, retries_before = self._past[0]
        if self._retries - retries_before + 1 > self._floor + self._share * (requests - requests_before):
            return False
        self._retries += 1
        return True
