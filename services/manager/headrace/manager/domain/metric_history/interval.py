"""Interval and step of series: what may be asked for, and what is taken where nothing is asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from headrace.common.contracts.messages.traffic import WINDOW_S
from headrace.common.contracts.problems import InvalidRequest
from headrace.manager.domain.metric_history.points import MINUTE_S

FINE_FOR: Final = timedelta(hours=1)
"""Windows of ten seconds become minutes when their whole hour is so old."""
HISTORY_KEPT: Final = timedelta(days=7)
MAX_STEPS: Final = 1500
_SOUGHT_STEPS: Final = 240
_STEPS_S: Final = (10, 30, 60, 300, 900, 1800, 3600, 7200, 14_400)
_DEFAULT: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Interval:
    """Steps of equal length from `since` to `until`."""

    since: datetime
    until: datetime
    step_s: int

    @property
    def steps(self) -> int:
        """Number of steps."""
        return int((self.until - self.since).total_seconds()) // self.step_s

    def step_of(self, at: datetime) -> int:
        """Return the number of the step in which a time is, negative or beyond the last outside of the interval."""
        return int((at - self.since).total_seconds() // self.step_s)


def interval(since: datetime | None, until: datetime | None, step_s: int | None, now: datetime) -> Interval:
    """Return the interval, whose ends are rounded outwards to whole steps. Raises InvalidRequest."""
    until = min(until or now, now)
    since = since or until - _DEFAULT
    if since >= until:
        raise InvalidRequest.of("from", since.isoformat(), f"a time before `to` ({until.isoformat()}) and now")
    since = max(since, now - HISTORY_KEPT)
    until = max(until, since + timedelta(seconds=WINDOW_S))
    asked_s = (until - since).total_seconds()
    least_s = WINDOW_S if now - since <= FINE_FOR + timedelta(seconds=WINDOW_S) else MINUTE_S
    if step_s is None:
        step_s = next((s for s in _STEPS_S if s >= least_s and asked_s / s <= _SOUGHT_STEPS), _STEPS_S[-1])
    elif step_s % least_s or asked_s / step_s > MAX_STEPS:
        raise InvalidRequest.of(
            "step_s", step_s, f"a multiple of {least_s} for this interval, in which at most {MAX_STEPS} steps are"
        )
    begin = int(since.timestamp()) // step_s * step_s
    end = -(-int(until.timestamp()) // step_s) * step_s
    return Interval(datetime.fromtimestamp(begin, UTC), datetime.fromtimestamp(max(end, begin + step_s), UTC), step_s)
