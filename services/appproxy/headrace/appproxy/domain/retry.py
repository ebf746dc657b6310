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
    if failure.kind == "connection-lost":
        if failure.reused and (failure.seconds <= same_instant_s or method in IDEMPOTENT):
            return "same-replica"
        if method in IDEMPOTENT:
            return "other-replica"
    return "give-up"
