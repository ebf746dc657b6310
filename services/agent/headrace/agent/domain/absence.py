"""Absence of an agent: whether it may have missed a newer plan, because it was suspended or cut off from the bus. Pure."""

from __future__ import annotations


class Absence:
    """Whether the agent has to read its plan before it reports. It has at the start.

    Times are in seconds: of the calendar, which goes on while the machine sleeps, and of a clock that nobody sets.
    """

    def __init__(self, suspended_after_s: float) -> None:
        self._suspended_after_s = suspended_after_s
        self._away = True
        self._last: tuple[float, float] | None = None

    def away(self) -> None:
        """Record that plans may have been missed."""
        self._away = True

    def returned(self, calendar: float, clock: float) -> bool:
        """Return whether plans may have been missed since `caught_up`. A gap between two calls is a suspension."""
        before, self._last = self._last, (calendar, clock)
        if before is not None and max(calendar - before[0], clock - before[1]) > self._suspended_after_s:
            self._away = True
        return self._away

    def caught_up(self) -> None:
        """Record that the newest plan was read."""
        self._away = False
