"""Expiries that requests ask for: `expires_at`, or `expires_in_s` from now on."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Protocol

from headrace.common.contracts.problems import InvalidRequest

LONGEST = timedelta(days=3651)
"""Ten years, and the day with which a date ends."""


class AskedExpiry(Protocol):
    """Body of a request with an expiry."""

    @property
    def expires_at(self) -> datetime | None: ...  # noqa: D102
    @property
    def expires_in_s(self) -> int | None: ...  # noqa: D102


def one_expiry(asked: AskedExpiry) -> None:
    """Raise InvalidRequest if both fields have a value."""
    if asked.expires_at is not None and asked.expires_in_s is not None:
        raise InvalidRequest.of("expires_at", "expires_at and expires_in_s", "one of them")


def end_of(asked: AskedExpiry, now: datetime, *, least_s: int) -> datetime | None:
    """Return when it ends; None: never. Raises InvalidRequest for a time too near or too far."""
    one_expiry(asked)
    if asked.expires_at is None:
        return None if asked.expires_in_s is None else now + timedelta(seconds=asked.expires_in_s)
    if not timedelta(seconds=least_s) <= asked.expires_at - now <= LONGEST:
        allowed = f"a time at least {least_s} s after now and at most {LONGEST.days} days away"
        raise InvalidRequest.of("expires_at", asked.expires_at.isoformat(), allowed)
    return asked.expires_at
