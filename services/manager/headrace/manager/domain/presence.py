"""Failure detector of machines: which were heard of lately, and since when this manager can tell. Pure.

A manager that did not listen itself cannot call anybody silent. Times are seconds of one clock.
"""

from __future__ import annotations


class Presence:
    """Failure detector: the machines that one manager heard, and since when it listens.

    Nobody is absent before it has listened for `lost_after_s` without a break.
    """

    def __init__(self, lost_after_s: float) -> None:
        self._lost_after_s = lost_after_s
        self._heard: dict[str, float] = {}
        self._since: float | None = None
        self._looked: float | None = None

    def heard(self, machine: str, now: float) -> None:
        """Note a report."""
        self._heard[machine] = now

    def interrupt(self) -> None:
        """Note that reports may have been missed: listening begins anew with the next look."""
        self._since = None

    def present(self, now: float) -> list[str] | None:
        """Return the machines heard within `lost_after_s`; None while that says nothing about the others.

        Call it often, with everything noted that had arrived: a gap of `lost_after_s` means that this process was asleep,
        and counts as an interruption.
        """
        if self._looked is not None and now - self._looked >= self._lost_after_s:
            self._since = None
        self._looked = now
        if self._since is None:
            self._since = now
        self._heard = {machine: at for machine, at in self._heard.items() if now - at < self._lost_after_s}
        return None if now - self._since < self._lost_after_s else sorted(self._heard)
