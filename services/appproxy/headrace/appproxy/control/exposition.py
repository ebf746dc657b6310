"""Prometheus metrics of the app-proxy, beside those that every service has.

`service` is a name, `revision` and `replica` are ids: cardinality is bounded by the fleet, and series are removed with
their replica.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from itertools import accumulate
from typing import TypeVar

from prometheus_client import Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.dataplane.telemetry.stats import Histogram, ReplicaStats, StatsRegistry
from headrace.appproxy.ipc.snapshot import TrafficSnapshot
from headrace.common.contracts.ids import ServiceId, SessionId

Id = TypeVar("Id", ServiceId, SessionId)

TABLES = Gauge("headrace_proxy_route_tables", "Route tables in use: one per service.")
BUS_CONNECTED = Gauge("headrace_proxy_bus_connected", "1 while the message bus is connected, else 0.")
CONNECTION_LIMIT = Gauge(
    "headrace_proxy_connection_limit",
    "Most downstream connections that may be open: `max_connections`, or what the limit of open files allows.",
)
STORE_FAILURES = Counter("headrace_proxy_table_store_failures_total", "Failed writes of the route tables to disk.")
USAGE_BATCHES = Gauge(
    "headrace_proxy_usage_batches", "Batches of callers' usage on disk that no manager has stored yet."
)
USAGE_LOST = Counter(
    "headrace_proxy_usage_lost_requests_total",
    "Requests that are missing in the usage of callers, since neither managers nor the disk took more of it.",
)

_PER_REPLICA = ("service", "revision", "replica")
_HISTOGRAMS = (
    ("request_seconds", "durations", "Time from the request's head to the end of the response; without WebSockets."),
    (
        "time_to_first_byte_seconds",
        "first_bytes",
        "Time from the request's head to the first byte of the response's content (of streams: TTFT).",
    ),
    (
        "time_per_event_seconds",
        "per_event",
        "Mean time between the events of an event stream (TPOT), one observation a stream.",
    ),
)
_COUNTS = (
    ("sent_bytes", "bytes_sent", "Bytes of responses' content sent to callers."),
    ("received_bytes", "bytes_received", "Bytes of requests' content received from callers."),
    ("prompt_tokens", "prompt_tokens", "Tokens of prompts, by the `usage` of engines' responses."),
    ("completion_tokens", "completion_tokens", "Generated tokens, by the `usage` of engines' responses."),
    (
        "cut_requests",
        "cut",
        "Requests cut because they were still open at a drain's deadline or at the end of the shutdown.",
    ),
)


class TrafficCollector(Collector):
    """Prometheus collector of all workers' statistics.

    `snapshot` returns the open requests and updates `registry` with the counters that workers reported.
    """

    def __init__(
        self,
        registry: StatsRegistry,
        snapshot: Callable[[], TrafficSnapshot],
        tables: RouteTables,
        alive: Callable[[], int],
    ) -> None:
        self._registry = registry
        self._snapshot = snapshot
        self._tables = tables
        self._alive = alive

    def describe(self) -> list[Metric]:
        """Return no families in advance: their labels come from the route tables."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric family."""
        snapshot = self._snapshot()
        yield GaugeMetricFamily("headrace_proxy_workers", "Worker processes that serve.", value=self._alive())
        yield GaugeMetricFamily(
            "headrace_proxy_connections", "Open downstream connections.", value=snapshot.connections
        )
        yield from self._per_replica()
        yield from self._per_service()
        yield from self._current_gauges(snapshot)

    def _per_replica(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "headrace_proxy_requests",
            "Requests sent to a replica, by the status that the caller got.",
            labels=[*_PER_REPLICA, "code"],
        )
        interrupted = CounterMetricFamily(
            "headrace_proxy_interrupted_responses",
            "Responses that were interrupted after their head was sent, by reason.",
            labels=[*_PER_REPLICA, "reason"],
        )
        for stats in self._registry:
            labels = _labels(stats)
            for code, number in sorted(stats.codes.items()):
                requests.add_metric([*labels, str(code) if code else "left"], number)
            for why, number in sorted(stats.broken.items()):
                interrupted.add_metric([*labels, why], number)
        yield requests
        yield interrupted
        for name, attribute, text in _COUNTS:
            family = CounterMetricFamily(f"headrace_proxy_{name}", text, labels=_PER_REPLICA)
            for stats in self._registry:
                family.add_metric(_labels(stats), getattr(stats, attribute))
            yield family
        for name, attribute, text in _HISTOGRAMS:
            histograms = HistogramMetricFamily(f"headrace_proxy_{name}", text, labels=_PER_REPLICA)
            for stats in self._registry:
                _add(histograms, _labels(stats), getattr(stats, attribute))
            yield histograms

    def _per_service(self) -> Iterator[Metric]:
        refused = CounterMetricFamily(
            "headrace_proxy_refused",
            "Requests refused before a replica got them, by reason.",
            labels=["service", "reason"],
        )
        retries = CounterMetricFamily(
            "headrace_proxy_retries",
            "Retries: requests sent to a replica again, by reason.",
            labels=["service", "reason"],
        )
        ejections = CounterMetricFamily(
            "headrace_proxy_ejections", "Ejections of replicas by outlier detection.", labels=["service"]
        )
        preflights = CounterMetricFamily(
            "headrace_proxy_preflights",
            "CORS preflight requests answered.",
            labels=["service"],
        )
        queue = HistogramMetricFamily(
            "headrace_proxy_queue_seconds",
            "Time that requests spent in the queue, however it ended.",
            labels=["service"],
        )
        for stats in self._registry.services.values():
            for reason, number in sorted(stats.refused.items()):
                refused.add_metric([stats.service, reason], number)
            for why, number in sorted(stats.retries.items()):
                retries.add_metric([stats.service, why], number)
            ejections.add_metric([stats.service], stats.ejections)
            preflights.add_metric([stats.service], stats.preflights)
            _add(queue, [stats.service], stats.queue_seconds)
        for reason, number in sorted(self._registry.unknown.items()):
            refused.add_metric(["", reason], number)
        preflights.add_metric([""], self._registry.preflights)
        yield from (refused, retries, ejections, preflights, queue)
        malformed = CounterMetricFamily(
            "headrace_proxy_malformed",
            "Malformed requests: bytes that HTTP does not allow, by reason.",
            labels=["reason"],
        )
        for why, number in sorted(self._registry.malformed.items()):
            malformed.add_metric([why], number)
        yield malformed
        illegal = CounterMetricFamily(
            "headrace_proxy_illegal_transitions",
            "Requests ended by a transition that is not in the table of states: a bug of the app-proxy.",
            labels=["state", "event"],
        )
        for step, number in sorted(self._registry.illegal_transitions.items()):
            illegal.add_metric(step.split(), number)
        yield illegal

    def _current_gauges(self, snapshot: TrafficSnapshot) -> Iterator[Metric]:
        names = {table.service_id: table.name for table in self._tables}
        in_flight = GaugeMetricFamily(
            "headrace_proxy_in_flight", "Requests open on a replica now.", labels=_PER_REPLICA
        )
        replicas = {stats.session_id: _labels(stats) for stats in self._registry}
        for table in self._tables:  # the registry has a replica only after its first request has ended
            replicas |= {r.session_id: [table.name, str(r.revision_id), str(r.session_id)] for r in table.routes}
        for session_id, labels in replicas.items():
            in_flight.add_metric(labels, snapshot.in_flight.get(session_id, 0))
        queued = GaugeMetricFamily("headrace_proxy_queued", "Requests in the queue now.", labels=["service"])
        for service_id, waiting in snapshot.queues.items():
            queued.add_metric([names.get(service_id, "")], waiting.requests)
        yield in_flight
        yield queued


def _labels(stats: ReplicaStats) -> list[str]:
    return [stats.service, str(stats.revision_id), str(stats.session_id)]


def _add(family: HistogramMetricFamily, labels: list[str], histogram: Histogram) -> None:
    bounds = [*(repr(bound) for bound in histogram.bounds), "+Inf"]
    family.add_metric(labels, list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.total)


class StatsExpiry:
    """Removes the counters of replicas and services that left the tables, after a delay in which their last values are
    scraped.
    """

    def __init__(self, registry: StatsRegistry, *, after_s: float = 120.0) -> None:
        self._registry = registry
        self._after_s = after_s
        self._replicas: dict[SessionId, float] = {}
        self._services: dict[ServiceId, float] = {}
        """Time at which each was last seen."""

    def sweep(self, replicas: Set[SessionId], services: Set[ServiceId], now_s: float) -> None:
        """Record which replicas and services exist at `now_s` (a monotonic clock), and remove those that left long
        enough ago.
        """
        before_s = now_s - self._after_s
        self._registry.forget(
            replicas=_take_expired(self._replicas, self._registry.replicas, replicas, now_s, before_s),
            services=_take_expired(self._services, self._registry.services, services, now_s, before_s),
        )


def _take_expired(seen: dict[Id, float], known: Iterable[Id], live: Set[Id], now_s: float, before_s: float) -> list[Id]:
    """Update the last-seen times in `seen`; remove from it, and return, the keys last seen before the given time."""
    for key in known:
        seen.setdefault(key, now_s)
    seen.update(dict.fromkeys(live, now_s))
    gone = [key for key, at_s in seen.items() if at_s < before_s]
    for key in gone:
        del seen[key]
    return gone
