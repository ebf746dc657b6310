"""Failure detector of machines: which reported lately, and since when this manager has listened. Pure.

A manager that did not listen itself cannot call any machine silent, and one that hears none of several at once has more
likely lost its own network (Kubernetes: full disruption of a zone, in which nothing is evicted). Times are seconds of one
clock.
"""

from __future__ import annotations

from typing import Final

ALL_SILENT_S: Final = 60.0
"""All machines may be silent at once for so long before that counts as theirs."""


class Presence:
    """Failure detector: last report of each machine, and since when this manager has listened.

    No machine is absent before it has listened for `lost_after_s` without interruption. While it hears none of several
    for half of that time, it says nothing; if that lasts for all of it, the others have their time anew when the first one
    is back.
    """

    def __init__(self, lost_after_s: float) -> None:
        self._lost_after_s = lost_after_s
        self._heard: dict[str, float] = {}
        self._since: float | None = None
        self._looked: float | None = None
        self._latest: float | None = None
        """Time of the last report of any machine."""
        self._several = False
        """Whether more than one machine was present then."""

    def heard(self, machine: str, now: float) -> None:
        """Record a report."""
        if self._latest is not None and self._several and now - self._latest >= self._lost_after_s:
            self._since = None
        self._heard[machine] = self._latest = now

    def interrupt(self) -> None:
        """Record that reports may have been missed: the listening time starts anew."""
        self._since = None

    def present(self, now: float) -> list[str] | None:
        """Return the machines that reported within `lost_after_s`; None while that says nothing about the others.

        Call it often, after recording everything that arrived: a gap of `lost_after_s` means that this process was
        suspended, and counts as an interruption.
        """
        if self._looked is not None and now - self._looked >= self._lost_after_s:
            self._since = None
        self._looked = now
        if self._all_silent(now):
            return None
        if self._since is None:
            self._since = now
        self._heard = {machine: at for machine, at in self._heard.items() if now - at < self._lost_after_s}
        self._several = len(self._heard) > 1 or (self._several and not self._heard)
        return None if now - self._since < self._lost_after_s else sorted(self._heard)

    def _all_silent(self, now: float) -> bool:
        if self._latest is None or not self._several:
            return False
        return self._lost_after_s / 2 <= now - self._latest < ALL_SILENT_S
