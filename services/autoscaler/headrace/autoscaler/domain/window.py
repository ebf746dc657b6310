"""Sliding window of samples of one service: a mean per reporter over a stretch of time."""

from __future__ import annotations

from collections import deque
from enum import StrEnum
from typing import Final, NamedTuple

WHOLE_SERVICE: Final = "service"
"""Owner of what an app-proxy says of the service beside its replicas; a window is one service's."""


class Origin(StrEnum):
    """Kind of reporter that measured a value. Members are stored in Redis."""

    KERNEL = "k"
    """The agent, of a kernel: the owner is the kernel."""
    ENGINE = "e"
    """The engine's own `/metrics`, read by the agent: the owner is the kernel."""
    PROXY = "p"
    """An app-proxy, of a replica (the owner is the session) or of the service (WHOLE_SERVICE); each proxy is a reporter of its own."""

    __hash__ = str.__hash__
    """Enum's own is Python, and members are keys of every sample."""


class Reading(NamedTuple):
    """Pre-aggregated samples of one metric, reporter and owner at about one time: `number` values whose sum is `total`."""

    origin: Origin
    owner: str
    reporter: str
    metric: str
    at_ms: int
    total: float
    number: int


_Series = dict[str, deque[tuple[int, float, int]]]


class Window:
    """Sliding window of readings of one service.

    Times are milliseconds of Redis' clock; each reporter's readings come in order.
    """

    def __init__(self) -> None:
        self._series: dict[tuple[Origin, str, str], _Series] = {}

    def add(self, reading: Reading) -> None:
        """Append a reading."""
        reporters = self._series.setdefault((reading.origin, reading.metric, reading.owner), {})
        points = reporters.setdefault(reading.reporter, deque())
        points.append((reading.at_ms, reading.total, reading.number))

    def forget_before(self, at_ms: int) -> None:
        """Drop readings older than `at_ms`, and owners and reporters that have none left."""
        for key, reporters in list(self._series.items()):
            for reporter, points in list(reporters.items()):
                while points and points[0][0] < at_ms:
                    points.popleft()
                if not points:
                    del reporters[reporter]
            if not reporters:
                del self._series[key]

    def means(self, origin: Origin, metric: str, owner: str, *, since_ms: int, fresh_ms: int) -> list[float]:
        """Return for each reporter the mean of its values since `since_ms`.

        Reporters without any since `fresh_ms` are stale and left out.
        """
        found = []
        for points in self._series.get((origin, metric, owner), {}).values():
            if points[-1][0] < fresh_ms:
                continue
            total, count = 0.0, 0
            for at_ms, value, values in reversed(points):
                if at_ms < since_ms:
                    break
                total += value
                count += values
            if count:
                found.append(total / count)
        return found

    def newest_ms(self, metric: str) -> int | None:
        """Return the time of the newest reading of `metric`, whichever its owner and reporter; None when there is none."""
        times = [
            points[-1][0]
            for (_, name, _), reporters in self._series.items()
            if name == metric
            for points in reporters.values()
        ]
        return max(times, default=None)
