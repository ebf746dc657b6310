"""Pending scale request (write-ahead): written down before asking, so that it is not asked twice or forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from headrace.common.contracts.ids import RuleId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.scaling import ScalingReason


@dataclass(frozen=True, slots=True)
class Pending:
    """Asked `at`: change the wanted replicas from one number to another. Lives in Redis until the answer is known."""

    rule_id: RuleId
    at: datetime
    from_wanted: int
    wanted: int
    observed: float
    text: str


class Settled(StrEnum):
    """What became of a pending request."""

    DONE = "done"
    """It was applied: the rule fired at `Pending.at`."""
    NOT_DONE = "not-done"
    """It was not, or something else changed the number since: the rule did not fire."""
    OPEN = "open"
    """Not known yet."""


def settle(pending: Pending, wanted: int, now: datetime, *, patience: timedelta) -> Settled:
    """Return what became of a request whose answer was lost, judged by the number of wanted replicas in the newest table.

    The number asked for ⇒ done. Still the old number ⇒ open for `patience` (the table may be on its way), then not done.
    """
    if wanted == pending.wanted:
        return Settled.DONE
    if wanted == pending.from_wanted and now - pending.at < patience:
        return Settled.OPEN
    return Settled.NOT_DONE


def waiting(pending: Pending, now: datetime) -> Reason:
    """Return why nothing fires meanwhile."""
    asked = f"{pending.from_wanted} → {pending.wanted} replicas, asked {(now - pending.at).total_seconds():.0f} s ago"
    return Reason.of(
        ScalingReason.AWAITING_ANSWER, f"the manager's answer to an earlier request is not known ({asked})"
    )
