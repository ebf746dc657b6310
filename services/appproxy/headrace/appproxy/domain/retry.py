"""Whether a request that got no answer may be sent again, and where.

The rule: only before the first byte of an answer, and only when the request cannot have run or may run twice
(RFC 9110 section 9.2.2, RFC 9112 section 9.3.1.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
MOST_RETRIES = 2

FailureKind = Literal[
    "connect-failed",  # refused, unreachable, name unknown: nothing was sent
    "connect-timeout",
    "connection-lost",  # reset or closed before the first byte
    "bad-response",
    "first-byte-timeout",
    "engine-unavailable",  # its own 502 or 503
]
Sent = Literal["nothing", "kept", "gone"]
"""What was read of the request's body: nothing (or it has none), all of it still held for replay, or no longer held."""
Step = Literal["other-replica", "same-replica", "give-up"]


@dataclass(frozen=True, slots=True)
class Failure:
    """How one attempt ended without a byte of an answer."""

    kind: FailureKind
    text: str
    reused: bool = False
    """Whether it was sent on a connection that had served before."""
    seconds: float = 0.0
    """From having a connection to the failure."""


def next_step(
    failure: Failure, *, method: str, sent: Sent, retries: int, same_instant_s: float, most: int = MOST_RETRIES
) -> Step:
    """Return what to do after `failure`, having retried `retries` times.

    A kept connection that is lost within `same_instant_s` of being taken was being closed by the replica as the request left:
    the request cannot have run, and a fresh connection to the same replica takes it, whatever the method.
    """
    if retries >= most or sent == "gone":
        return "give-up"
    if failure.kind in ("connect-failed", "connect-timeout"):
        return "other-replica"
    if failure.kind == "engine-unavailable":
        # An engine that says 503 may have run a part all the same (RFC 9110 section 15.6.4 promises nothing).
        return "other-replica" if method in IDEMPOTENT else "give-up"
    if failure.kind == "connection-lost":
        if failure.reused and (failure.seconds <= same_instant_s or method in IDEMPOTENT):
            return "same-replica"
        if method in IDEMPOTENT:
            return "other-replica"
    return "give-up"


class RetryBudget:
    """Lets retries be at most a fifth of the requests of the last ten seconds, and a few a second in any case.

    So retries cannot multiply the load of a service that is failing because of its load. O(1); `now_s` only goes forward.
    """

    _SLOT_S, _SLOTS = 1.0, 10

    def __init__(self, *, share: float = 0.2, floor_per_s: float = 3.0) -> None:
        self._share = share
        self._floor = floor_per_s * self._SLOTS * self._SLOT_S
        self._requests = [0] * self._SLOTS
        self._retries = [0] * self._SLOTS
        self._slot = 0

    def requested(self, now_s: float) -> None:
        """Note a request."""
        slot = int(now_s / self._SLOT_S)
        if slot != self._slot:
            self._turn(slot)
        self._requests[slot % self._SLOTS] += 1

    def may_retry(self, now_s: float) -> bool:
        """Return whether one more retry is allowed, and count it if so."""
        slot = int(now_s / self._SLOT_S)
        if slot != self._slot:
            self._turn(slot)
        if sum(self._retries) + 1 > self._floor + self._share * sum(self._requests):
            return False
        self._retries[slot % self._SLOTS] += 1
        return True

    def _turn(self, slot: int) -> None:
        for stale in range(max(self._slot + 1, slot - self._SLOTS + 1), slot + 1):
            self._requests[stale % self._SLOTS] = self._retries[stale % self._SLOTS] = 0
        self._slot = slot
