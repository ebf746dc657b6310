"""Samples read from stored history. What cannot be read costs itself: it is a gap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from headrace.common.contracts.messages.traffic import WINDOW_S
from headrace.manager.domain.metric_history.points import MINUTE_S, NO_SERVICE, Hour, Point
from headrace.manager.domain.metric_history.series import Heard, Sample
from headrace.manager.domain.records.metric_history import StoredHour, StoredWindow

M = TypeVar("M", bound=BaseModel)


def parsed(kind: type[M], contents: str) -> M | None:
    """Return stored contents; None if a version wrote them that this one does not understand."""
    with suppress(ValidationError):
        return kind.model_validate_json(contents)
    return None


def windows_of(stored: Iterable[StoredWindow]) -> Iterator[tuple[datetime, Point]]:
    """Yield the windows that can be read."""
    for one in stored:
        point = parsed(Point, one.contents)
        if point is not None:
            yield one.at, point


def samples_of(windows: Iterable[StoredWindow], hours: Iterable[StoredHour]) -> tuple[list[Sample], list[Heard]]:
    """Return the samples of a service, and when app-proxies were heard."""
    samples: list[Sample] = []
    heard_at: dict[datetime, int] = {}
    for window in windows:
        if window.service_id == NO_SERVICE:
            heard_at[window.at] = WINDOW_S
        elif (point := parsed(Point, window.contents)) is not None:
            samples.append(Sample(window.at, WINDOW_S, point))
    for stored in hours:
        for minute in found.minutes if (found := parsed(Hour, stored.contents)) else ():
            at = stored.hour + timedelta(minutes=minute.minute)
            if stored.service_id == NO_SERVICE:
                heard_at[at] = minute.windows * WINDOW_S
            else:
                samples.append(Sample(at, MINUTE_S, minute))
    return samples, [Heard(at, seconds) for at, seconds in heard_at.items()]
