"""Expiries as people write them: a duration, a date, a time, or `never`."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from typing import Final

NEVER: Final = "never"
ALLOWED: Final = (
    "a number with s, m, h, d or w (90d), a date (2027-12-31: the end of that day, UTC), "
    "a time (2027-12-31T18:00+02:00; without a zone: UTC) or never"
)
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_WITH_UNIT = re.compile(r"^(\d{1,12})([smhdw])$", re.ASCII)
_DATE = len("2027-12-31")
_BEGINS_WITH_A_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[Tt ]|$)", re.ASCII)


def read_duration(text: str) -> timedelta | None:
    """Return the duration of a number with its unit, `90d`; None for anything else."""
    match = _WITH_UNIT.match(text)
    try:
        return timedelta(seconds=int(match[1]) * _UNITS[match[2]]) if match else None
    except OverflowError:  # longer than a calendar
        return timedelta.max


def read_moment(text: str, of_day: time = time.max) -> datetime | None:
    """Return the moment of a date (`of_day`, by default its end) or a time, UTC where no zone is given; None for anything else.

    ISO 8601's other forms of a date are none: digits alone could be seconds instead of days, and a week is no day.
    """
    if _BEGINS_WITH_A_DATE.match(text) is None:
        return None
    try:
        if len(text) == _DATE:
            return datetime.combine(date.fromisoformat(text), of_day, UTC).replace(microsecond=0)
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):  # the calendar's first and last hours are not everywhere in it
        return None


def read_expiry(text: str) -> timedelta | datetime | None:
    """Return how long something lasts, or when it ends; None for `never`. Raises ValueError, with what is allowed."""
    text = text.strip()
    if text == NEVER:
        return None
    found = read_duration(text) or read_moment(text)
    if found is None:
        raise ValueError(f"found {text[:100] or 'nothing'}; allowed: {ALLOWED}")
    return found
