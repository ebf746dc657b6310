"""A clock that goes as the system's until a test stops it, and then only as the test moves it."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from math import ceil

from headrace.common.runtime.clock import Clocks


class StoppableClock:
    """Give its `clocks` to a service's wiring."""

    def __init__(self) -> None:
        self._stopped: tuple[float, float] | None = None
        """What both clocks say while they stand."""
        self.reads = 0
        """How often it was read."""
        self.clocks = Clocks(self.utc, self.epoch, self.monotonic)

    def stop(self, *, at: float | None = None) -> None:
        """Stand still from now on. `at`: seconds since 1970, where the time of day matters, or sums of seconds are to be exact."""
        epoch, monotonic = self._now()
        self._stopped = (epoch, monotonic) if at is None else (at, float(ceil(monotonic)))

    def advance(self, seconds: float) -> None:
        """Let so much time pass at once, on a clock that stands."""
        assert self._stopped is not None, "stop it first"
        epoch, monotonic = self._stopped
        self._stopped = epoch + seconds, monotonic + seconds

    def epoch(self) -> float:
        return self._now()[0]

    def utc(self) -> datetime:
        return datetime.fromtimestamp(self.epoch(), UTC)

    def monotonic(self) -> float:
        return self._now()[1]

    def _now(self) -> tuple[float, float]:
        self.reads += 1
        return self._stopped or (time.time(), time.monotonic())
