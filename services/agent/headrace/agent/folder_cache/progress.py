"""Progress of one fetch: counted as bytes come, and told about once a second."""

from __future__ import annotations

from collections.abc import Callable

from headrace.agent.domain.transfer_rate import TransferRate
from headrace.common.contracts.messages.reports import Transfer
from headrace.common.contracts.reasons import MAX_QUOTED
from headrace.common.contracts.vocabulary import TransferPhase
from headrace.common.runtime.clock import Monotonic

Say = Callable[[Transfer], None]
_EVERY_S = 1.0


class FetchProgress:
    """Progress of a snapshot on its way into the cache; several replicas may wait for it."""

    def __init__(self, monotonic: Monotonic) -> None:
        self._monotonic = monotonic
        self._listeners: list[Say] = []
        self._phase: TransferPhase = "manifest"
        self._done = 0
        self._total = 0
        self._problem: str | None = None
        self._rate = TransferRate(monotonic())
        self._told_at = float("-inf")

    def add(self, say: Say) -> None:
        """Tell `say` from now on."""
        self._listeners.append(say)
        say(self.transfer())

    def remove(self, say: Say) -> None:
        """Tell it no more."""
        self._listeners.remove(say)

    def begin(self, phase: TransferPhase, *, done: int = 0, total: int = 0) -> None:
        """Begin a phase; `done` of `total` bytes are there already."""
        self._phase, self._done, self._total, self._problem = phase, done, total, None
        self._rate = TransferRate(self._monotonic(), done)
        self._tell()

    def count(self, received: int) -> None:
        """Count bytes that are there now; negative: they have to be fetched again."""
        self._done += received
        self._problem = None
        now = self._monotonic()
        self._rate.note(now, self._done)
        if now - self._told_at >= _EVERY_S:
            self._tell()

    def delayed(self, problem: str) -> None:
        """Say why nothing comes at the moment."""
        self._problem = problem[:MAX_QUOTED]
        self._tell()

    def transfer(self) -> Transfer:
        """Return the progress now."""
        moves = self._phase == "fetching" and self._problem is None
        return Transfer(
            phase=self._phase,
            bytes_done=max(0, self._done),
            bytes_total=self._total,
            bytes_per_s=round(self._rate.bytes_per_s()) if moves else 0,
            eta_s=self._rate.seconds_left(self._total) if moves else None,
            problem=self._problem,
        )

    def _tell(self) -> None:
        self._told_at = self._monotonic()
        transfer = self.transfer()
        for say in self._listeners:
            say(transfer)
