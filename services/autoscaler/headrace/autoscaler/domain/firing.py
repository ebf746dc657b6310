"""Pending scale request: recorded before the manager is asked, so that a rule fires neither twice nor never."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from headrace.common.contracts.ids import RuleId
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.scaling import ScalingReason


@dataclass(frozen=True, slots=True)
class PendingRequest:
    """Scale request sent `at` a time and not yet answered: change the wanted replicas from `from_wanted` to `wanted`.

    Stored in Redis until the answer is known.
    """

    rule_id: RuleId
    at: datetime
    from_wanted: int
    wanted: int
    observed: float
    text: str


class RequestOutcome(StrEnum):
    """Outcome of a scale request whose answer was lost."""

    DONE = "done"
    """It was applied: the rule fired at `PendingRequest.at`."""
    NOT_DONE = "not-done"
    """It was not, or something else changed the number since: the rule did not fire."""
    OPEN = "open"
    """Not known yet."""


def settle_request(pending: PendingRequest, wanted: int, now: datetime, *, patience: timedelta) -> RequestOutcome:
    """Return the outcome of a request whose answer was lost, by the number of wanted replicas in the newest rule table.

    The requested number means done. The old number means open for `patience` (the new table may be on its way), then
    not done.
    """
    if wanted == pending.wanted:
        return RequestOutcome.DONE
    if wanted == pending.from_wanted and now - pending.at < patience:
        return RequestOutcome.OPEN
    return RequestOutcome.NOT_DONE


def awaiting_answer(pending: PendingRequest, now: datetime) -> Reason:
    """Return the reason why no rule of the service fires while `pending` is open."""
    asked = f"{pending.from_wanted} → {pending.wanted} replicas, asked {(now - pending.at).total_seconds():.0f} s ago"
    return Reason.of(
        ScalingReason.AWAITING_ANSWER, f"the manager's answer to an earlier request is not known ({asked})"
    )
