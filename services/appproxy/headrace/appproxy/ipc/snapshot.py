"""Snapshots: what workers have open, queued and draining at this moment, and the sum over workers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from headrace.common.contracts.messages.reports import DrainReceipt

WorkerSnapshot = dict[str, Any]
"""One worker's part, as JSON values: `open` {session: requests}, `drains` {session: [open, started, finished, retried, failed, cut,
slowest_s]}, `queued` {service: [requests, oldest_s, whether nobody serves]}, `out` [session], `connections` number."""


@dataclass(slots=True)
class QueueDepth:
    """Requests that wait for a replica of one service. `held`: nobody serves at all."""

    requests: int = 0
    oldest_s: float = 0.0
    held: bool = False


@dataclass(slots=True)
class DrainingReplica:
    """A replica that takes no new requests: what is open on it, and what became of the others."""

    in_flight: int = 0
    counts: list[int] = field(default_factory=lambda: [0, 0, 0, 0, 0])
    slowest_s: float = 0.0

    @property
    def receipt(self) -> DrainReceipt:
        """Return it as it is told."""
        started, finished, retried, failed, cut = self.counts
        return DrainReceipt(
            started=started, finished=finished, retried=retried, failed=failed, cut=cut, slowest_s=self.slowest_s
        )


@dataclass(slots=True)
class TrafficSnapshot:
    """The sums. Keys are ids as text."""

    in_flight: dict[str, int] = field(default_factory=dict)
    drains: dict[str, DrainingReplica] = field(default_factory=dict)
    queues: dict[str, QueueDepth] = field(default_factory=dict)
    ejected: frozenset[str] = frozenset()
    """Replicas that some worker passes over."""
    connections: int = 0

    @property
    def total(self) -> int:
        """All requests open on replicas."""
        return sum(self.in_flight.values())


def merge_snapshots(states: Iterable[WorkerSnapshot]) -> TrafficSnapshot:
    """Return the sum of the workers' states."""
    view = TrafficSnapshot()
    out: set[str] = set()
    for state in states:
        for session, number in state["open"].items():
            view.in_flight[session] = view.in_flight.get(session, 0) + number
        for session, (in_flight, *counts, slowest_s) in state["drains"].items():
            drain = view.drains.setdefault(session, DrainingReplica())
            drain.in_flight += in_flight
            drain.counts = [own + more for own, more in zip(drain.counts, counts, strict=True)]
            drain.slowest_s = max(drain.slowest_s, slowest_s)
        for service, (requests, oldest_s, held) in state["queued"].items():
            waiting = view.queues.setdefault(service, QueueDepth(held=True))
            waiting.requests += requests
            waiting.oldest_s = max(waiting.oldest_s, oldest_s)
            waiting.held = waiting.held and held
        out.update(state["out"])
        view.connections += state["connections"]
    view.ejected = frozenset(out)
    return view
