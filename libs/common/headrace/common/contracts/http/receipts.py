"""Receipts: what drains and rollouts cost callers."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field, NonNegativeInt

from headrace.common.contracts.http.page import View
from headrace.common.contracts.ids import ProxyId, SessionId
from headrace.common.contracts.reasons import Reason, said_of


class Counts(View):
    """Outcomes of the requests that were open when replicas began to drain. Counts only grow."""

    started: NonNegativeInt = 0
    """Open when the drain began."""
    finished: NonNegativeInt = 0
    """Answered completely, or left by their callers."""
    retried: NonNegativeInt = 0
    """Moved to another replica before a byte of a response."""
    failed: NonNegativeInt = 0
    """Ended in an error of the replica."""
    cut: NonNegativeInt = 0
    """Still open at the end of the grace, and cut with an error."""
    slowest_s: Annotated[float, Field(ge=0)] = 0.0
    """Longest duration of those that ended, from the request's head, in seconds."""


class ReceiptView(Counts):
    """Receipt of one replica's drain, summed over app-proxies."""

    replica: SessionId
    revision: int
    """Revision of the replica."""
    replaced_by: int | None
    """Revision whose rollout replaced it; None if it left for another reason."""
    reason: Annotated[Reason, said_of("session", "kernel")]
    began_at: AwareDatetime
    ended_at: AwareDatetime | None
    """End of the drain; None while it drains."""
    proxies: tuple[ProxyId, ...]
    """App-proxies that reported."""
    waiting_for: tuple[ProxyId, ...]
    """App-proxies whose final report is missing: they have open requests, or fell silent."""
    complete: bool
    """True if the drain is over, and every app-proxy reported that no request is open."""


class RolloutReceipt(Counts):
    """Receipt of the rollout of one revision: the sum over the replicas that it replaced."""

    revision: int
    replicas: NonNegativeInt
    """Replicas replaced so far."""
    draining: NonNegativeInt
    """Those of them that still drain."""
    began_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    """Time at which the last of them left; None before."""
    waiting_for: tuple[ProxyId, ...]
    complete: bool
    """True if all receipts are complete, and no replica of an earlier revision is left."""
