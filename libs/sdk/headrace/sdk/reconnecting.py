"""Reconnects of streams that go on: logs that are followed, live events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from headrace.sdk.connections import Response
from headrace.sdk.transport import Transport

RECONNECT_S: Final = 60.0
"""How long a followed stream may be without a connection."""
MAY_RECOVER: Final = frozenset({429, 500, 502, 503, 504})
"""Statuses after which a later try may succeed."""
_STEADY_S = 5.0
"""A connection that lasted for so long ends a loss: the next one is counted anew."""


class Reconnect:
    """Reconnect state of a stream: since when the connection is lost, how many attempts, and when to give up."""

    def __init__(self, transport: Transport, on_notice: Callable[[str], None], what: str) -> None:
        """`what`: name of the stream in what `on_notice` is told."""
        self._transport = transport
        self._on_notice = on_notice
        self._what = what
        self._opened_at: float | None = None
        self._lost_at: float | None = None
        self._tries = 0
        self.away = False
        self.ever = False
        """True once there was a response."""
        self.began = ""
        """Server time of the first response."""

    def opened(self, answer: Response) -> None:
        """Record a successful reconnect."""
        self._opened_at = self._transport.clock()
        self.began = self.began or answer.headers.get("Date", "")
        self.ever = True
        if self.away:
            self._on_notice(f"the connection is back; {self._what} goes on")
        self.away = False

    def lost(self, error: Exception) -> None:
        """Wait before the next attempt. Raises `error` once RECONNECT_S are over."""
        now = self._transport.clock()
        steady = self._opened_at is not None and now - self._opened_at >= _STEADY_S
        if self._lost_at is None or steady:
            self._lost_at, self._tries = now, 0
        self._opened_at = None
        if self._transport.closed or now - self._lost_at >= RECONNECT_S:
            raise error
        if not self.away:
            self._on_notice(f"the connection was lost ({error}); trying for {RECONNECT_S:g} s to read on")
        self.away = True
        self._transport.sleep(min(0.2 * 2**self._tries, 2.0))
        self._tries += 1
