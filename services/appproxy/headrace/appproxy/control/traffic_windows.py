"""Traffic windows: what was counted of each service in ten seconds, from counters that only grow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from headrace.appproxy.dataplane.auth.access import DENIALS
from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.dataplane.telemetry.stats import ReplicaStats, StatsRegistry
from headrace.appproxy.ipc.snapshot import TrafficSnapshot
from headrace.common.contracts.ids import RevisionId, ServiceId, SessionId
from headrace.common.contracts.messages.traffic import MAX_REASONS, MAX_REPLICAS, ReplicaTraffic, ServiceTraffic

_COUNTS = (
    "succeeded",
    "client_errors",
    "server_errors",
    "interrupted",
    "left",
    "prompt_tokens",
    "completion_tokens",
)


@dataclass(frozen=True, slots=True)
class _Counted:
    """Counters of a replica at one time."""

    succeeded: int = 0
    client_errors: int = 0
    server_errors: int = 0
    interrupted: int = 0
    left: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latencies: tuple[int, ...] = ()
    first_bytes: tuple[int, ...] = ()

    @classmethod
    def of(cls, stats: ReplicaStats) -> _Counted:
        by_class: dict[int, int] = defaultdict(int)
        for code, number in stats.codes.items():
            by_class[code // 100] += number
        return cls(
            succeeded=by_class[1] + by_class[2] + by_class[3],
            client_errors=by_class[4],
            server_errors=sum(number for hundreds, number in by_class.items() if hundreds >= 5),
            interrupted=sum(number for why, number in stats.broken.items() if why not in DENIALS),
            left=by_class[0],
            prompt_tokens=stats.prompt_tokens,
            completion_tokens=stats.completion_tokens,
            latencies=tuple(stats.durations.counts),
            first_bytes=tuple(stats.first_bytes.counts),
        )


_NOTHING = _Counted()


class TrafficCounter:
    """Counter of windows: `look` each second at what is open, `close` at the end of a window.

    What has no traffic costs a comparison a window.
    """

    def __init__(self, registry: StatsRegistry, tables: RouteTables) -> None:
        self._registry = registry
        self._tables = tables
        self._replicas: dict[SessionId, _Counted] = {}
        self._refused: dict[ServiceId, dict[str, int]] = {}
        self._looks = 0
        self._open: dict[SessionId, int] = defaultdict(int)
        self._queued: dict[ServiceId, int] = defaultdict(int)

    def look(self, snapshot: TrafficSnapshot) -> None:
        """Add what is open and queued now to the means of the window."""
        self._looks += 1
        for session_id, number in snapshot.in_flight.items():
            if number:
                self._open[session_id] += number
        for service_id, queue in snapshot.queues.items():
            if queue.requests:
                self._queued[service_id] += queue.requests

    def close(self) -> tuple[ServiceTraffic, ...]:
        """Return the traffic since the last window, of services that had any, and begin the next window."""
        looks = max(1, self._looks)
        replicas: dict[ServiceId, list[ReplicaTraffic]] = defaultdict(list)
        for service_id, one in self._of_replicas(looks):
            replicas[service_id].append(one)
        refused = self._newly_refused()
        queued = self._queued
        self._looks, self._open, self._queued = 0, defaultdict(int), defaultdict(int)
        return tuple(
            ServiceTraffic(
                service_id=service_id,
                refused=refused.get(service_id, {}),
                queued=queued.get(service_id, 0) / looks,
                replicas=_bounded(replicas.get(service_id, [])),
            )
            for service_id in sorted(replicas.keys() | refused.keys() | queued.keys())
        )

    def _of_replicas(self, looks: int) -> Iterator[tuple[ServiceId, ReplicaTraffic]]:
        before, self._replicas = self._replicas, {}
        known: set[SessionId] = set()
        for stats in self._registry:
            known.add(stats.session_id)
            now = self._replicas[stats.session_id] = _Counted.of(stats)
            then = before.get(stats.session_id, _NOTHING)
            is_open = self._open.get(stats.session_id, 0)
            if now != then or is_open:
                yield stats.service_id, _traffic(stats.revision_id, stats.session_id, then, now, is_open / looks)
        if self._open.keys() <= known:
            return
        for table in self._tables:  # the registry has a replica only after its first request has ended
            for route in table.routes:
                is_open = self._open.get(route.session_id, 0)
                if is_open and route.session_id not in known:
                    one = _traffic(route.revision_id, route.session_id, _NOTHING, _NOTHING, is_open / looks)
                    yield table.service_id, one

    def _newly_refused(self) -> dict[ServiceId, dict[str, int]]:
        before, self._refused = self._refused, {}
        found: dict[ServiceId, dict[str, int]] = {}
        for service_id, stats in self._registry.services.items():
            self._refused[service_id] = dict(stats.refused)
            then = before.get(service_id, {})
            grown = {why: number - then.get(why, 0) for why, number in stats.refused.items()}
            more = {why: number for why, number in grown.items() if number > 0}
            if more:
                found[service_id] = dict(islice(more.items(), MAX_REASONS))
        return found


def _traffic(
    revision_id: RevisionId, session_id: SessionId, then: _Counted, now: _Counted, in_flight: float
) -> ReplicaTraffic:
    return ReplicaTraffic(
        revision_id=revision_id,
        session_id=session_id,
        latencies=_grown(then.latencies, now.latencies),
        first_bytes=_grown(then.first_bytes, now.first_bytes),
        in_flight=in_flight,
        **{name: max(0, getattr(now, name) - getattr(then, name)) for name in _COUNTS},
    )


def _grown(then: tuple[int, ...], now: tuple[int, ...]) -> dict[int, int]:
    earlier = then or (0,) * len(now)
    return {at: new - old for at, (old, new) in enumerate(zip(earlier, now, strict=True)) if new > old}


def _bounded(replicas: list[ReplicaTraffic]) -> tuple[ReplicaTraffic, ...]:
    """Return the busiest replicas by name, and the others summed by revision."""
    if len(replicas) <= MAX_REPLICAS:
        return tuple(replicas)
    busiest = sorted(replicas, key=lambda one: -sum(one.latencies.values()))
    sums: dict[RevisionId, ReplicaTraffic] = {}
    for one in busiest[MAX_REPLICAS:]:
        sums[one.revision_id] = one if one.revision_id not in sums else sums[one.revision_id].plus(one)
    return (*busiest[:MAX_REPLICAS], *(one.unnamed() for one in islice(sums.values(), MAX_REPLICAS)))
