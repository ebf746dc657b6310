"""Interval of a question for usage: defaults, and how much may be asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from headrace.common.contracts.problems import InvalidRequest
from headrace.common.contracts.vocabulary import UsageStep

MAX_INTERVAL: Final = timedelta(days=3660)
MAX_STEPS: Final = 800
"""Steps of an answer: a month of hours, two years of days."""
_SHORTEST: Final[Mapping[UsageStep, timedelta]] = {
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "month": timedelta(days=28),
}


def usage_interval(
    since: datetime | None, until: datetime | None, step: UsageStep | None, now: datetime
) -> tuple[datetime, datetime]:
    """Return the interval: by default from the beginning of this month (UTC) to now. Raises InvalidRequest."""
    until = now if until is None else until
    if since is None:
        since = until.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    if since >= until:
        raise InvalidRequest.of("from", since.isoformat(), f"a time before {until.isoformat()}")
    if until - since > MAX_INTERVAL:
        raise InvalidRequest.of("from", since.isoformat(), f"at most {MAX_INTERVAL.days} days before `to`")
    if step is not None and (until - since) / _SHORTEST[step] > MAX_STEPS:
        steps = int((until - since) / _SHORTEST[step])
        raise InvalidRequest.of(
            "step", f"{step}: {steps} steps", f"at most {MAX_STEPS} steps; a longer one, or less time"
        )
    return since, until
