"""Counters and histograms of one process: plain, cheap to update, and mergeable across processes.

Cardinality is bounded by the fleet: services and replicas come from the tables, codes are HTTP's, reasons a closed set.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from headrace.appproxy.dataplane.auth.access import DENIALS
from headrace.appproxy.ipc.stats import HistogramCounts, ReplicaCounts, ServiceCounts, StatsDelta
from headrace.common.contracts.ids import RevisionId, ServiceId, SessionId
from headrace.common.contracts.messages.traffic import LATENCY_BOUNDS_S

Key = TypeVar("Key", str, int)

SECONDS: Final = LATENCY_BOUNDS_S
EVENT_SECONDS: Final[tuple[float, ...]] = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.02,
    0.035,
    0.05,
    0.075,
    0.1,
    0.2,
    0.5,
    1.0,
    5.0,
)
_MAX_REASONS: Final = 64


def _bucket_index(seconds: float) -> int:
    """Return bisect_left(SECONDS, seconds), faster for small values."""
    at = 0
    for bound in SECONDS:
        if seconds <= bound:
            break
        at += 1
    return at


class Histogram:
    """Histogram: number of values up to each of `bounds` (the last bucket is +Inf), and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Add one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """Number of values."""
        return sum(self.counts)

    @property
    def delta(self) -> HistogramCounts | None:
        """Counts and sum; None if the histogram is empty."""
        return HistogramCounts(tuple(self.counts), self.total) if any(self.counts) else None

    def add(self, delta: HistogramCounts | None) -> None:
        """Add the counts of another process."""
        if delta is not None:
            self.counts = [own + more for own, more in zip(self.counts, delta.buckets, strict=True)]
            self.total += delta.total


def _count(counts: dict[str, int], name: str) -> None:
    if name in counts or len(counts) < _MAX_REASONS:
        counts[name] = counts.get(name, 0) + 1


def _add(counts: dict[Key, int], more: dict[Key, int]) -> None:
    for key, number in more.items():
        counts[key] = counts.get(key, 0) + number


class ReplicaStats:
    """Counters of one replica. `codes`: responses by status, 0 for callers who left before one."""

    __slots__ = (
        "broken",
        "bytes_received",
        "bytes_sent",
        "codes",
        "completion_tokens",
        "cut",
        "durations",
        "first_bytes",
        "per_event",
        "prompt_tokens",
        "retried",
        "revision_id",
        "service",
        "service_id",
        "session_id",
    )

    def __init__(self, service_id: ServiceId, service: str, revision_id: RevisionId, session_id: SessionId) -> None:
        self.service_id, self.service = service_id, service
        self.revision_id, self.session_id = revision_id, session_id
        self.clear()

    def clear(self) -> None:
        """Reset all counters."""
        self.codes: dict[int, int] = {}
        self.broken: dict[str, int] = {}
        self.durations = Histogram(SECONDS)
        self.first_bytes = Histogram(SECONDS)
        self.per_event = Histogram(EVENT_SECONDS)
        self.bytes_sent = self.bytes_received = self.prompt_tokens = self.completion_tokens = self.retried = (
            self.cut
        ) = 0

    def ended(self, status: int, seconds: float, first_byte_s: float | None, *, lasting: bool = False) -> None:
        """Count a request that ended with this status (0: the caller left before one), after these seconds.

        `lasting`: its duration is not observed, as for a WebSocket.
        """
        self.codes[status] = self.codes.get(status, 0) + 1
        if status and not lasting:
            durations = self.durations
            at = _bucket_index(seconds)
            durations.counts[at] += 1
            durations.total += seconds
            if first_byte_s is not None:
                first_bytes = self.first_bytes
                if first_byte_s != seconds:  # else the response came in one piece
                    at = _bucket_index(first_byte_s)
                first_bytes.counts[at] += 1
                first_bytes.total += first_byte_s

    def broke(self, why: str) -> None:
        """Count an interrupted response."""
        _count(self.broken, why)

    @property
    def busy(self) -> bool:
        """True if anything was counted."""
        return bool(self.codes or self.retried or self.broken)

    @property
    def finished(self) -> int:
        """Number of ended requests."""
        return sum(self.codes.values())

    @property
    def errors(self) -> int:
        """Number of responses with 5xx and of interrupted ones, without those cut because the caller lost access."""
        broken = sum(number for why, number in self.broken.items() if why not in DENIALS)
        return sum(number for code, number in self.codes.items() if code >= 500) + broken

    @property
    def delta(self) -> ReplicaCounts:
        """Counts since the last clear()."""
        return ReplicaCounts(
            service_id=self.service_id,
            service=self.service,
            revision_id=self.revision_id,
            session_id=self.session_id,
            codes=self.codes,
            broken=self.broken,
            bytes_received=self.bytes_received,
            bytes_sent=self.bytes_sent,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            retried=self.retried,
            cut=self.cut,
            durations=self.durations.delta,
            first_bytes=self.first_bytes.delta,
            per_event=self.per_event.delta,
        )

    def add(self, delta: ReplicaCounts) -> None:
        """Add the counts of another process."""
        _add(self.codes, delta.codes)
        _add(self.broken, delta.broken)
        self.bytes_received += delta.bytes_received
        self.bytes_sent += delta.bytes_sent
        self.prompt_tokens += delta.prompt_tokens
        self.completion_tokens += delta.completion_tokens
        self.retried += delta.retried
        self.cut += delta.cut
        self.durations.add(delta.durations)
        self.first_bytes.add(delta.first_bytes)
        self.per_event.add(delta.per_event)


class ServiceStats:
    """Counters of one service: refused, queued and retried requests."""

    __slots__ = ("ejections", "preflights", "queue_seconds", "refused", "retries", "service", "service_id")

    def __init__(self, service_id: ServiceId, service: str) -> None:
        self.service_id, self.service = service_id, service
        self.clear()

    def clear(self) -> None:
        """Reset all counters."""
        self.refused: dict[str, int] = {}
        self.retries: dict[str, int] = {}
        self.ejections = 0
        self.preflights = 0
        self.queue_seconds = Histogram(SECONDS)

    @property
    def busy(self) -> bool:
        """True if anything was counted."""
        return bool(self.refused or self.retries or self.ejections or self.preflights or self.queue_seconds.count)

    def refused_for(self, reason: str) -> None:
        """Count a request that was refused before it reached a replica."""
        _count(self.refused, reason)

    def retried(self, why: str) -> None:
        """Count a retry."""
        _count(self.retries, why)

    @property
    def delta(self) -> ServiceCounts:
        """Counts since the last clear()."""
        return ServiceCounts(
            service_id=self.service_id,
            service=self.service,
            refused=self.refused,
            retries=self.retries,
            ejections=self.ejections,
            preflights=self.preflights,
            queue_seconds=self.queue_seconds.delta,
        )

    def add(self, delta: ServiceCounts) -> None:
        """Add the counts of another process."""
        _add(self.refused, delta.refused)
        _add(self.retries, delta.retries)
        self.ejections += delta.ejections
        self.preflights += delta.preflights
        self.queue_seconds.add(delta.queue_seconds)


class StatsRegistry:
    """Registry of a process's statistics, by service and replica.

    `take` returns and resets the counts since the last call; `merge` adds those of another registry.
    """

    def __init__(self) -> None:
        self.services: dict[ServiceId, ServiceStats] = {}
        self.replicas: dict[SessionId, ReplicaStats] = {}
        self.malformed: dict[str, int] = {}
        """Malformed requests, by reason."""
        self.unknown: dict[str, int] = {}
        """Requests refused before their service was known, by reason."""
        self.preflights = 0
        """Answered CORS preflights at the fleet's base URL."""
        self.illegal_transitions: dict[str, int] = {}
        """Illegal state transitions of requests, by state and event."""

    def service(self, service_id: ServiceId, name: str) -> ServiceStats:
        """Return the counters of a service; creates them."""
        found = self.services.get(service_id)
        if found is None:
            found = self.services[service_id] = ServiceStats(service_id, name)
        return found

    def replica(
        self, service_id: ServiceId, service: str, revision_id: RevisionId, session_id: SessionId
    ) -> ReplicaStats:
        """Return the counters of a replica; creates them."""
        found = self.replicas.get(session_id)
        if found is None:
            found = self.replicas[session_id] = ReplicaStats(service_id, service, revision_id, session_id)
        return found

    def count_malformed(self, code: str) -> None:
        """Count a malformed request."""
        _count(self.malformed, code)

    def count_unknown(self, reason: str) -> None:
        """Count a request refused before its service was known."""
        _count(self.unknown, reason)

    def count_illegal_transition(self, state: str, event: str) -> None:
        """Count an illegal state transition of a request: a bug of the proxy."""
        _count(self.illegal_transitions, f"{state} {event}")

    def forget(self, *, replicas: Iterable[SessionId], services: Iterable[ServiceId]) -> None:
        """Remove the counters of these replicas and services."""
        for session_id in replicas:
            self.replicas.pop(session_id, None)
        for service_id in services:
            self.services.pop(service_id, None)

    def take(self) -> StatsDelta:
        """Return the counts since the last call, without empty ones, and reset them."""
        services = [service for service in self.services.values() if service.busy]
        replicas = [replica for replica in self if replica.busy]
        taken = StatsDelta(
            services=tuple([service.delta for service in services]),
            replicas=tuple([replica.delta for replica in replicas]),
            malformed=self.malformed,
            unknown=self.unknown,
            preflights=self.preflights,
            illegal_transitions=self.illegal_transitions,
        )
        for service in services:
            service.clear()
        for replica in replicas:
            replica.clear()
        self.malformed, self.unknown, self.preflights, self.illegal_transitions = {}, {}, 0, {}
        return taken

    def merge(self, delta: StatsDelta) -> None:
        """Add the counts that another process took."""
        for service in delta.services:
            self.service(service.service_id, service.service).add(service)
        for replica in delta.replicas:
            self.replica(replica.service_id, replica.service, replica.revision_id, replica.session_id).add(replica)
        _add(self.malformed, delta.malformed)
        _add(self.unknown, delta.unknown)
        _add(self.illegal_transitions, delta.illegal_transitions)
        self.preflights += delta.preflights

    def __iter__(self) -> Iterator[ReplicaStats]:
        return iter(self.replicas.values())
