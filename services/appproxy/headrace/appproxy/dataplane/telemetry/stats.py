"""Counters and histograms of one process: plain, cheap to add to, and mergeable over processes.

Everything is bounded by the fleet: services and replicas come from the tables, codes are HTTP's, reasons are our own.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, Final

from headrace.appproxy.dataplane.auth.access import DENIALS

SECONDS: Final[tuple[float, ...]] = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    120.0,
    600.0,
)
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
_MOST_REASONS: Final = 64


def _place(seconds: float) -> int:
    """Return what bisect_left(SECONDS, seconds) does, for numbers that are small more often than not."""
    at = 0
    for bound in SECONDS:
        if seconds <= bound:
            break
        at += 1
    return at


class Histogram:
    """Counts of values up to each of `bounds`, the last one beyond all; and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    @property
    def count(self) -> int:
        """How many values were counted."""
        return sum(self.counts)

    def dump(self) -> list[float]:
        """Return the counts and the sum; nothing where nothing was counted."""
        return [*self.counts, self.total] if any(self.counts) else []

    def add(self, dumped: list[float]) -> None:
        """Add what another one dumped."""
        if dumped:
            *counts, total = dumped
            self.counts = [own + int(more) for own, more in zip(self.counts, counts, strict=True)]
            self.total += total


def _count(counts: dict[Any, int], name: Any) -> None:
    if name in counts or len(counts) < _MOST_REASONS:
        counts[name] = counts.get(name, 0) + 1


class ReplicaStats:
    """What one replica did. `codes`: answers by status, 0 for callers who left before one."""

    _COUNTS = ("bytes_received", "bytes_sent", "completion_tokens", "cut", "prompt_tokens", "retried")
    _HISTOGRAMS = ("durations", "first_bytes", "per_event")
    __slots__ = (*_COUNTS, *_HISTOGRAMS, "broken", "codes", "revision_id", "service", "service_id", "session_id")

    def __init__(self, service_id: str, service: str, revision_id: str, session_id: str) -> None:
        self.service_id, self.service = service_id, service
        self.revision_id, self.session_id = revision_id, session_id
        self.clear()

    def clear(self) -> None:
        """Begin at zero."""
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

        `lasting`: how long it took says nothing, as for a WebSocket.
        """
        self.codes[status] = self.codes.get(status, 0) + 1
        if status and not lasting:
            durations = self.durations
            durations.counts[_place(seconds)] += 1
            durations.total += seconds
            if first_byte_s is not None:
                first_bytes = self.first_bytes
                first_bytes.counts[_place(first_byte_s)] += 1
                first_bytes.total += first_byte_s

    def broke(self, why: str) -> None:
        """Count an answer that began and could not be finished."""
        _count(self.broken, why)

    @property
    def busy(self) -> bool:
        """Whether anything was counted."""
        return bool(self.codes or self.retried or self.broken)

    @property
    def finished(self) -> int:
        """Requests that ended."""
        return sum(self.codes.values())

    @property
    def errors(self) -> int:
        """Answers of 500 and above, and broken ones, but for those whose callers lost their right."""
        broken = sum(number for why, number in self.broken.items() if why not in DENIALS)
        return sum(number for code, number in self.codes.items() if code >= 500) + broken

    def dump(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return (
            {name: value for name in self._COUNTS if (value := getattr(self, name))}
            | {name: value for name in self._HISTOGRAMS if (value := getattr(self, name).dump())}
            | {"codes": {str(code): number for code, number in self.codes.items()}, "broken": self.broken}
        )

    def add(self, dumped: dict[str, Any]) -> None:
        """Add what another one dumped."""
        for name in self._COUNTS:
            setattr(self, name, getattr(self, name) + dumped.get(name, 0))
        for name in self._HISTOGRAMS:
            getattr(self, name).add(dumped.get(name, []))
        for code, number in dumped["codes"].items():
            self.codes[int(code)] = self.codes.get(int(code), 0) + number
        for why, number in dumped["broken"].items():
            self.broken[why] = self.broken.get(why, 0) + number


class ServiceStats:
    """What one service refused, kept waiting and sent again."""

    _COUNTED = ("refused", "retries")
    __slots__ = (*_COUNTED, "ejections", "preflights", "queue_seconds", "service", "service_id")

    def __init__(self, service_id: str, service: str) -> None:
        self.service_id, self.service = service_id, service
        self.clear()

    def clear(self) -> None:
        """Begin at zero."""
        self.refused: dict[str, int] = {}
        self.retries: dict[str, int] = {}
        self.ejections = 0
        self.preflights = 0
        self.queue_seconds = Histogram(SECONDS)

    @property
    def busy(self) -> bool:
        """Whether anything was counted."""
        return bool(self.refused or self.retries or self.ejections or self.preflights or self.queue_seconds.count)

    def refused_for(self, reason: str) -> None:
        """Count a request that no replica got."""
        _count(self.refused, reason)

    def retried(self, why: str) -> None:
        """Count a request that was sent again."""
        _count(self.retries, why)

    def dump(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {
            "refused": self.refused,
            "retries": self.retries,
            "ejections": self.ejections,
            "preflights": self.preflights,
            "queue_seconds": self.queue_seconds.dump(),
        }

    def add(self, dumped: dict[str, Any]) -> None:
        """Add what another one dumped."""
        for name in self._COUNTED:
            own = getattr(self, name)
            for key, number in dumped[name].items():
                own[key] = own.get(key, 0) + number
        self.ejections += dumped["ejections"]
        self.preflights += dumped["preflights"]
        self.queue_seconds.add(dumped["queue_seconds"])


class StatsBook:
    """All numbers of a process. `take` hands over what came since the last call; `merge` adds what another one handed over."""

    def __init__(self) -> None:
        self.services: dict[str, ServiceStats] = {}
        self.replicas: dict[str, ReplicaStats] = {}
        self.malformed: dict[str, int] = {}
        """Bytes that were no request, by why."""
        self.unknown: dict[str, int] = {}
        """Requests refused before their service was known, by why."""
        self.preflights = 0
        """Of browsers at the fleet's base URL, that were answered."""
        self.illegal_transitions: dict[str, int] = {}
        """Steps of requests that their table does not know, by state and event."""

    def service(self, service_id: str, name: str) -> ServiceStats:
        """Return the numbers of a service; makes them."""
        found = self.services.get(service_id)
        if found is None:
            found = self.services[service_id] = ServiceStats(service_id, name)
        return found

    def replica(self, service_id: str, service: str, revision_id: str, session_id: str) -> ReplicaStats:
        """Return the numbers of a replica; makes them."""
        found = self.replicas.get(session_id)
        if found is None:
            found = self.replicas[session_id] = ReplicaStats(service_id, service, revision_id, session_id)
        return found

    def count_malformed(self, code: str) -> None:
        """Count bytes that were no request."""
        _count(self.malformed, code)

    def count_unknown(self, reason: str) -> None:
        """Count a request refused before its service was known."""
        _count(self.unknown, reason)

    def count_illegal_transition(self, state: str, event: str) -> None:
        """Count a step of a request that its table does not know: a mistake of the proxy's own."""
        _count(self.illegal_transitions, f"{state} {event}")

    def forget(self, *, replicas: set[str], services: set[str]) -> None:
        """Drop the numbers of these."""
        for key in replicas & self.replicas.keys():
            del self.replicas[key]
        for key in services & self.services.keys():
            del self.services[key]

    def take(self) -> dict[str, Any]:
        """Return as JSON values what was counted since the last call, of those that counted anything."""
        taken = {
            "services": [[s.service_id, s.service, s.dump()] for s in self.services.values() if s.busy],
            "replicas": [[r.service_id, r.service, r.revision_id, r.session_id, r.dump()] for r in self if r.busy],
            "malformed": self.malformed,
            "unknown": self.unknown,
            "preflights": self.preflights,
            "illegal_transitions": self.illegal_transitions,
        }
        for service in self.services.values():
            if service.busy:
                service.clear()
        for replica in self:
            if replica.busy:
                replica.clear()
        self.malformed, self.unknown, self.preflights, self.illegal_transitions = {}, {}, 0, {}
        return taken

    def merge(self, dumped: dict[str, Any]) -> None:
        """Add what another process took."""
        for service_id, name, numbers in dumped["services"]:
            self.service(service_id, name).add(numbers)
        for service_id, name, revision_id, session_id, numbers in dumped["replicas"]:
            self.replica(service_id, name, revision_id, session_id).add(numbers)
        self.preflights += dumped["preflights"]
        for name in ("malformed", "unknown", "illegal_transitions"):
            own, more = getattr(self, name), dumped[name]
            for key, number in more.items():
                own[key] = own.get(key, 0) + number

    def __iter__(self) -> Iterator[ReplicaStats]:
        return iter(self.replicas.values())
