"""Table generations that all workers have acknowledged, and drain totals of workers that exited.

Only what every worker applies may be reported, and no count is lost with a worker. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container

from headrace.appproxy.ipc.snapshot import WorkerSnapshot
from headrace.common.contracts.ids import ServiceId

_KEPT_S = 600.0
"""How long drain counts are reported on (contracts: ProxyReport)."""


class AppliedGenerations:
    """Which generation of each service's table all workers have put in use: what may be reported to the manager."""

    def __init__(self) -> None:
        self._confirmed: dict[ServiceId, int] = {}
        self._pending: deque[tuple[int, ServiceId, int | None]] = deque()

    def sent(self, step: int, service_id: ServiceId, generation: int | None) -> None:
        """Note a table that was sent as `step`; None where it ended the service."""
        self._pending.append((step, service_id, generation))

    def reached(self, step: int) -> bool:
        """Note that every worker is at `step`, and return whether that confirmed anything."""
        confirmed = False
        while self._pending and self._pending[0][0] <= step:
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
        self._drains: dict[str, tuple[list[float], float]] = {}

    def add(self, state: WorkerSnapshot, now_s: float) -> None:
        """Add the last snapshot of a worker that exited."""
        for session, (still_open, *counts, cut, slowest_s) in state["drains"].items():
            mine = [0, *counts, cut + still_open, slowest_s]
            known, _ = self._drains.get(session, ([0] * len(mine), 0.0))
            *numbers, slowest_known_s = known
            *more, slowest_more_s = mine
            summed = [a + b for a, b in zip(numbers, more, strict=True)]
            self._drains[session] = [*summed, max(slowest_known_s, slowest_more_s)], now_s

    def forget(self, live: Container[str], now_s: float) -> None:
        """Drop what was reported long enough, of replicas that are not in the tables any more."""
        for session in [known for known, (_, at_s) in self._drains.items() if now_s - at_s > _KEPT_S]:
            if session not in live:
                del self._drains[session]

    @property
    def snapshot(self) -> WorkerSnapshot:
        """Return them as the snapshot of one more worker."""
        drains = {session: numbers for session, (numbers, _) in self._drains.items()}
        return {"open": {}, "drains": drains, "queued": {}, "out": [], "connections": 0}
