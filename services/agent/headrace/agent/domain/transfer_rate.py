"""Rate of a transfer: bytes per second of its last ten seconds, and the time left."""

from __future__ import annotations

from collections import deque

WINDOW_S = 10.0
_STEP_S = 0.5
"""Samples are this far apart: so their number is bounded."""


class TransferRate:
    """Rate of a growing number of bytes. The caller gives the time, in seconds of a clock that only goes on."""

    def __init__(self, now: float, done: int = 0) -> None:
        self._samples = deque([(now, done)])
        self._last = (now, done)

    def note(self, now: float, done: int) -> None:
        """Take how many bytes are done."""
        self._last = (now, done)
        if now - self._samples[-1][0] >= _STEP_S:
            self._samples.append((now, done))
        while len(self._samples) > 1 and now - self._samples[0][0] > WINDOW_S:
            self._samples.popleft()

    def bytes_per_s(self) -> float:
        """Return the rate; 0 before anything is known."""
        (then, before), (now, done) = self._samples[0], self._last
        return max(0.0, (done - before) / (now - then)) if now > then else 0.0

    def seconds_left(self, total: int) -> float | None:
        """Return the time until `total` bytes are done at this rate; None while nothing moves."""
        rate = self.bytes_per_s()
        return max(0, total - self._last[1]) / rate if rate > 0 else None
