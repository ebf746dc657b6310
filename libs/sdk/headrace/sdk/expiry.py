"""Expiries as callers give them, and as requests have them: `expires_in_s` or `expires_at`."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from headrace.common.text.expiry import ALLOWED, read_expiry

Expires = str | date | datetime | timedelta
"""`"90d"`, `"2027-12-31"` (the end of that day, UTC), `"2027-12-31T18:00+02:00"`, `"never"`; a timedelta, date or datetime
(without a zone: UTC)."""


def expiry_fields(expires: Expires, *, never: bool = False) -> dict[str, Any]:
    """Return the field of a request that says so. Raises ValueError; also for `"never"`, unless that is possible (`never`)."""
    found = _read(expires)
    if found is None and not never:
        raise ValueError(f"found never; allowed: {ALLOWED.removesuffix(' or never')}")
    if isinstance(found, datetime):
        return {"expires_at": found}
    return {"expires_in_s": None if found is None else math.ceil(found.total_seconds())}


def lasting_s(expires: Expires, now: datetime) -> int:
    """Return the seconds from `now` to the end. Raises ValueError for one that is over, and for `"never"`."""
    fields = expiry_fields(expires)
    end: datetime | None = fields.get("expires_at")
    if end is None:
        return int(fields["expires_in_s"])
    if end <= now:
        raise ValueError(f"found {end:%Y-%m-%dT%H:%M:%SZ}, which is over; allowed: a time after now")
    return math.ceil((end - now).total_seconds())


def _read(expires: Expires) -> timedelta | datetime | None:
    if isinstance(expires, str):
        return read_expiry(expires)
    if isinstance(expires, timedelta):
        return expires
    if isinstance(expires, datetime):
        return expires.astimezone(UTC) if expires.tzinfo else expires.replace(tzinfo=UTC)
    return datetime.combine(expires, time.max, UTC).replace(microsecond=0)
