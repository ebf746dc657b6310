"""Budget of a caller's tokens: which limits are in force, what is left of day and minute, and when they are whole again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import floor

from headrace.common.contracts.messages.routes import RateLimits

_MINUTE = timedelta(minutes=1)
_ROUNDING = 1e-6


@dataclass(frozen=True)
class TokenBudget:
    """Limits in force, and what is left of the tokens of day and minute; None: they are not limited."""

    limits: RateLimits
    left_today: int | None = None
    resets_at: datetime | None = None
    left_this_minute: int | None = None
    refilled_at: datetime | None = None
    """When the tokens of the minute are whole again; None where they are."""


def token_budget(
    own: RateLimits,
    of_service: RateLimits,
    *,
    used_today: int,
    minute_tokens: float,
    minute_at: datetime | None,
    now: datetime,
) -> TokenBudget:
    """Return the budget: a caller's own limits replace all of the service's for callers without any.

    `minute_tokens`: what was used of the minute at `minute_at`; since then the bucket has refilled evenly.
    """
    limits = own if own != RateLimits() else of_service
    left_today = resets_at = left = refilled_at = None
    if limits.tokens_per_day is not None:
        midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        left_today, resets_at = max(0, limits.tokens_per_day - used_today), midnight + timedelta(days=1)
    if limits.tokens_per_minute is not None:
        left = limits.tokens_per_minute
        whole_at = now if minute_at is None else minute_at + _MINUTE * (minute_tokens / limits.tokens_per_minute)
        if whole_at > now:
            refilled_at = whole_at
            left = max(0, floor(left * (1 - (whole_at - now) / _MINUTE) + _ROUNDING))
    return TokenBudget(limits, left_today, resets_at, left, refilled_at)
