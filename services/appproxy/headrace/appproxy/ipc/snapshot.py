"""TrafficSnapshot: current open, queued and draining requests of one worker, or summed over all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from pydantic import NonNegativeInt

from headrace.common.contracts.ids import ServiceId, SessionId
from headrace.common.contracts.messages.reports import DrainReceipt


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """Queued requests of one service. `held`: the service has no ready replica."""

    requests: NonNegativeInt
    oldest_s: float
    held: bool

    def __add__(self, other: QueueDepth) -> QueueDepth:
        return QueueDepth(
            requests=self.requests + other.requests,
            oldest_s=max(self.oldest_s, other.oldest_s),
            held=self.held and other.held,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainCounts:
    """Drain counts of one replica: open requests, and the outcomes of the ended ones (contracts: DrainReceipt)."""

    in_flight: NonNegativeInt
    started: NonNegativeInt
    finished: NonNegativeInt
    retried: NonNegativeInt
    failed: NonNegativeInt
    cut: NonNegativeInt
    slowest_s: float

    def __add__(self, other: DrainCounts) -> DrainCounts:
        return DrainCounts(
            in_flight=self.in_flight + other.in_flight,
            started=self.started + other.started,
            finished=self.finished + other.finished,
            retried=self.retried + other.retried,
            failed=self.failed + other.failed,
            cut=self.cut + other.cut,
            slowest_s=max(self.slowest_s, other.slowest_s),
        )

    def all_cut(self) -> DrainCounts:
        """Return the counts of a worker that has exited: its open requests count as cut."""
        return replace(self, in_flight=0, cut=self.cut + self.in_flight)

    @property
    def receipt(self) -> DrainReceipt:
        """Return the counts as the bus message for the manager."""
        return DrainReceipt(
            started=self.started,
            finished=self.finished,
            retried=self.retried,
            failed=self.failed,
            cut=self.cut,
            slowest_s=self.slowest_s,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficSnapshot:
    """Open, queued and draining requests by replica and service. Replicas and services without any are left out."""

    in_flight: dict[SessionId, NonNegativeInt] = field(default_factory=dict)
    drains: dict[SessionId, DrainCounts] = field(default_factory=dict)
    queues: dict[ServiceId, QueueDepth] = field(default_factory=dict)
    ejected: frozenset[SessionId] = frozenset()
    """Replicas ejected by the outlier detection of some worker."""
    connections: NonNegativeInt = 0
    """Downstream connections."""


def merge_snapshots(snapshots: Iterable[TrafficSnapshot]) -> TrafficSnapshot:
    """Return the sum of the snapshots."""
    in_flight: dict[SessionId, int] = {}
    drains: dict[SessionId, DrainCounts] = {}
    queues: dict[ServiceId, QueueDepth] = {}
    ejected: set[SessionId] = set()
    connections = 0
    for one in snapshots:
        for session_id, number in one.in_flight.items():
            in_flight[session_id] = in_flight.get(session_id, 0) + number
        for session_id, drain in one.drains.items():
            drains[session_id] = drains[session_id] + drain if session_id in drains else drain
        for service_id, queue in one.queues.items():
            queues[service_id] = queues[service_id] + queue if service_id in queues else queue
        ejected |= one.ejected
        connections += one.connections
    return TrafficSnapshot(
        in_flight=in_flight, drains=drains, queues=queues, ejected=frozenset(ejected), connections=connections
    )
