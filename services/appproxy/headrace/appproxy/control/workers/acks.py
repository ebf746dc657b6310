"""Table generations that all workers have acknowledged, and drain totals of workers that exited.

Only generations that every worker has applied may be reported, and no drain count is lost with a worker. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container

from headrace.appproxy.ipc.snapshot import DrainCounts, TrafficSnapshot
from headrace.common.contracts.ids import ServiceId, SessionId

_KEPT_S = 600.0
"""How long drain counts are reported after a worker's exit (contracts: ProxyReport)."""


class AppliedGenerations:
    """Generation of each service's table that every worker has applied: what may be reported to the manager."""

    def __init__(self) -> None:
        self._confirmed: dict[ServiceId, int] = {}
        self._pending: deque[tuple[int, ServiceId, int | None]] = deque()

    def sent(self, sequence: int, service_id: ServiceId, generation: int | None) -> None:
        """Record that a table was sent with this sequence number; `None` for a removed service."""
        self._pending.append((sequence, service_id, generation))

    def acknowledged(self, sequence: int) -> bool:
        """Record that every worker has applied all messages up to this number; return True if a generation was
        confirmed by that.
        """
        confirmed = False
        while self._pending and self._pending[0][0] <= sequence:
            _, service_id, generation = self._pending.popleft()
            self._confirmed.pop(service_id, None)
            if generation is not None:
                self._confirmed[service_id] = generation
            confirmed = True
        return confirmed

    def confirmed(self) -> dict[ServiceId, int]:
        """Return the confirmed generation by service."""
        return dict(self._confirmed)


class DrainTotals:
    """Drain counts of workers that exited. Requests still open at their exit count as cut."""

    def __init__(self) -> None:
        self._drains: dict[SessionId, tuple[DrainCounts, float]] = {}

    def add(self, last: TrafficSnapshot, now_s: float) -> None:
        """Add the last snapshot of a worker that exited."""
        for session_id, drain in last.drains.items():
            counts = drain.all_cut()
            known = self._drains.get(session_id)
            self._drains[session_id] = counts if known is None else known[0] + counts, now_s

    def forget(self, live: Container[SessionId], now_s: float) -> None:
        """Remove the counts of replicas that left the tables and were reported for long enough."""
        for session_id in [known for known, (_, at_s) in self._drains.items() if now_s - at_s > _KEPT_S]:
            if session_id not in live:
                del self._drains[session_id]

    @property
    def snapshot(self) -> TrafficSnapshot:
        """Return the totals in the form of one more worker's snapshot."""
        return TrafficSnapshot(drains={session_id: counts for session_id, (counts, _) in self._drains.items()})
