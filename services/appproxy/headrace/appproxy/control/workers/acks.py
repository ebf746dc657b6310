"""Table generations that all workers have acknowledged, and drain totals of workers that exited.

Only what every worker applies may be reported, and no count is lost with a worker. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container

from headrace.appproxy.ipc.snapshot import DrainCounts, TrafficSnapshot
from headrace.common.contracts.ids import ServiceId, SessionId

_KEPT_S = 600.0
"""How long drain counts are reported on (contracts: ProxyReport)."""


class AppliedGenerations:
    """Which generation of each service's table all workers have put in use: what may be reported to the manager."""

    def __init__(self) -> None:
        self._confirmed: dict[ServiceId, int] = {}
        self._pending: deque[tuple[int, ServiceId, int | None]] = deque()

    def sent(self, sequence: int, service_id: ServiceId, generation: int | None) -> None:
        """Note a table that was sent with this number; None where it ended the service."""
        self._pending.append((sequence, service_id, generation))

    def acknowledged(self, sequence: int) -> bool:
        """Note that every worker has applied all up to this number, and return whether that confirmed anything."""
        confirmed = False
        while self._pending and self._pending[0][0] <= sequence:
            _, service_id, generation = self._pending.popleft()
            self._confirmed.pop(service_id, None)
            if generation is not None:
                self._confirmed[service_id] = generation
            confirmed = True
        return confirmed

    def confirmed(self) -> dict[ServiceId, int]:
        """Return the generation by service."""
        return dict(self._confirmed)


class DrainTotals:
    """Drain counts of workers that exited. What was still open there was cut with them."""

    def __init__(self) -> None:
        self._drains: dict[SessionId, tuple[DrainCounts, float]] = {}

    def add(self, last: TrafficSnapshot, now_s: float) -> None:
        """Add the last snapshot of a worker that exited."""
        for session_id, drain in last.drains.items():
            counts = drain.all_cut()
            known = self._drains.get(session_id)
            self._drains[session_id] = counts if known is None else known[0] + counts, now_s

    def forget(self, live: Container[SessionId], now_s: float) -> None:
        """Drop what was reported long enough, of replicas that are not in the tables any more."""
        for session_id in [known for known, (_, at_s) in self._drains.items() if now_s - at_s > _KEPT_S]:
            if session_id not in live:
                del self._drains[session_id]

    @property
    def snapshot(self) -> TrafficSnapshot:
        """Return them as the snapshot of one more worker."""
        return TrafficSnapshot(drains={session_id: counts for session_id, (counts, _) in self._drains.items()})
