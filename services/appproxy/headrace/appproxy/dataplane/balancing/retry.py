"""Retry policy and retry budget of requests that got no answer.

The rule: only before the first byte of an answer, and only when the request cannot have run or may run twice
(RFC 9110 section 9.2.2, RFC 9112 section 9.3.1.1).
"""

from __future__ import annotations

from collections import deque
from typing import Literal

from headrace.appproxy.dataplane.upstream.failures import Failure
from headrace.common.contracts.reasons.proxy import ProxyReason

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""RFC 9110 section 9.2.1: what may run twice even at the same time."""
MOST_RETRIES = 2

Sent = Literal["nothing", "kept", "gone"]
"""What was read of the request's body: nothing (or it has none), all of it still held for replay, or no longer held."""
Step = Literal["other-replica", "same-replica", "give-up"]


def next_step(
    failure: Failure, *, method: str, sent: Sent, retries: int, same_instant_s: float, most: int = MOST_RETRIES
) -> Step:
    """Return what to do after `failure`, having retried `retries` times.

    A kept connection that is lost within `same_instant_s` of being taken was being closed by the replica as the request left:
    the request cannot have run, and a fresh connection to the same replica takes it, whatever the method.
    """
    if retries >= most or sent == "gone":
        return "give-up"
    if failure.kind in (ProxyReason.CONNECT_FAILED, ProxyReason.CONNECT_TIMEOUT):
        return "other-replica"
    if failure.kind == ProxyReason.ENGINE_UNAVAILABLE:
        # An engine that says 503 may have run a part all the same (RFC 9110 section 15.6.4 promises nothing).
        return "other-replica" if method in IDEMPOTENT else "give-up"
    if failure.kind == ProxyReason.CONNECTION_LOST:
        if failure.reused and (failure.seconds <= same_instant_s or method in IDEMPOTENT):
            return "same-replica"
        if method in IDEMPOTENT:
            return "other-replica"
    return "give-up"


def may_move(*, method: str, was_sent: bool, sent: Sent, retries: int, most: int = MOST_RETRIES) -> bool:
    """Return whether a request that has no byte of an answer may leave a replica that was taken out, and go to another one.

    The replica may still be at work on it: only what is safe moves, or what it was not sent yet (`was_sent`: any byte of it).
    """
    return retries < most and sent != "gone" and (not was_sent or method in SAFE)


def never_ran(failure: Failure, *, sent: Sent) -> bool:
    """Return whether a request that ended with `failure` reached no replica, and can be sent again as if it had just come.

    Where it was sent before, that was on a kept connection that was being closed, or it may run twice (`next_step`).
    """
    return failure.kind in (ProxyReason.CONNECT_FAILED, ProxyReason.CONNECT_TIMEOUT) and sent != "gone"


class RetryBudget:
    """Lets retries be at most a fifth of the requests of the last ten seconds, and a few a second in any case.

    So retries cannot multiply the load of a service that is failing because of its load. The owner counts its requests, and calls
    `count_requests` from time to time; `now_s` only goes forward.
    """

    def __init__(self, *, share: float = 0.2, floor: int = 30, window_s: float = 10.0) -> None:
        self._share = share
        self._floor = floor
        self._window_s = window_s
        self._retries = 0
        self._past: deque[tuple[float, int, int]] = deque([(0.0, 0, 0)])
        """(when, requests, retries) until then; the first is the last one before the window."""

    def count_requests(self, requests: int, now_s: float) -> None:
        """Note how many requests there have been in all, and forget what is past the window."""
        past = self._past
        if now_s - past[-1][0] >= self._window_s / 20:
            past.append((now_s, requests, self._retries))
        while len(past) > 1 and past[1][0] <= now_s - self._window_s:
            past.popleft()

    def may_retry(self, requests: int, now_s: float) -> bool:
        """Return whether one more retry is allowed, and count it if so."""
        self.count_requests(requests, now_s)
        _, requests_before, retries_before = self._past[0]
        if self._retries - retries_before + 1 > self._floor + self._share * (requests - requests_before):
            return False
        self._retries += 1
        return True
