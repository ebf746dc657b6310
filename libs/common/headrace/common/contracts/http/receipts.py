"""Receipts of drains and rollouts: what they cost callers."""

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
    """Answered whole, or left by their callers."""
    retried: NonNegativeInt = 0
    """Moved to another replica before a byte of an answer."""
    failed: NonNegativeInt = 0
    """Ended in an error that was the replica's doing."""
    cut: NonNegativeInt = 0
    """Still open at the end of the grace: told so, and cut."""
    slowest_s: Annotated[float, Field(ge=0)] = 0.0
    """Longest duration of those that ended, from the request's head, in seconds."""


class ReceiptView(Counts):
    """Drain summary of one replica, summed over app-proxies."""

    replica: SessionId
    revision: int
    """What it ran."""
    replaced_by: int | None
    """Revision whose rollout it made way for; None where it left for another reason."""
    reason: Annotated[Reason, said_of("session", "kernel")]
    began_at: AwareDatetime
    ended_at: AwareDatetime | None
    """When it took no more requests at all; None while it drains."""
    proxies: tuple[ProxyId, ...]
    """App-proxies that told their part."""
    waiting_for: tuple[ProxyId, ...]
    """App-proxies that were heard of, and whose last word is missing: they have requests open, or fell silent."""
    complete: bool
    """Whether the drain is over, and every app-proxy that was heard of has told that no request is open."""


class RolloutReceipt(Counts):
    """Drain summary of the rollout of one revision: the sum over the replicas that it replaced."""

    revision: int
    replicas: NonNegativeInt
    """That were replaced and drained so far."""
    draining: NonNegativeInt
    """Of those: how many still drain."""
    began_at: AwareDatetime | None
    ended_at: AwareDatetime | None
    """When the last of them had left; None before."""
    waiting_for: tuple[ProxyId, ...]
    complete: bool
    """Whether all of the receipts are complete, and no replica of an earlier revision is left."""
