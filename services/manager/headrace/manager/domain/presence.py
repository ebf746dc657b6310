"""Failure detector of machines: which reported lately, and since when this manager has listened. Pure.

A manager that did not listen itself cannot call any machine silent. Times are seconds of one clock.
"""

from __future__ import annotations


class Presence:
    """Failure detector: last report of each machine, and since when this manager has listened.

    No machine is absent before it has listened for `lost_after_s` without interruption.
    """

    def __init__(self, lost_after_s: float) -> None:
        self._lost_after_s = lost_after_s
        self._heard: dict[str, float] = {}
        self._since: float | None = None
        self._looked: float | None = None

    def heard(self, machine: str, now: float) -> None:
        """Record a report."""
        self._heard[machine] = now

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
        if self._since is None:
            self._since = now
        self._heard = {machine: at for machine, at in self._heard.items() if now - at < self._lost_after_s}
        return None if now - self._since < self._lost_after_s else sorted(self._heard)
