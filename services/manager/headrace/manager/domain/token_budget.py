"""Budget of a caller's tokens today: which limits are in force, what is left, and when it begins anew."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from headrace.common.contracts.messages.routes import RateLimits


@dataclass(frozen=True)
class TokenBudget:
    """Limits in force, and what is left of the day's tokens; None: they are not limited."""

    limits: RateLimits
    left_today: int | None
    resets_at: datetime | None


def token_budget(own: RateLimits, of_service: RateLimits, used_today: int, now: datetime) -> TokenBudget:
    """Return the budget: a caller's own limits replace all of the service's for callers without any."""
    limits = own if own != RateLimits() else of_service
    if limits.tokens_per_day is None:
        return TokenBudget(limits, None, None)
    midnight = now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return TokenBudget(limits, max(0, limits.tokens_per_day - used_today), midnight + timedelta(days=1))
