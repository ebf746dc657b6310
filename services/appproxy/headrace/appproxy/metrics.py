"""What Prometheus sees of the traffic. `service` is a name, `replica` a session id: bounded by the fleet, removed with the replica."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.registry import Collector

_PER_REPLICA = ["service", "replica"]
REQUESTS = Counter(
    "headrace_proxy_requests_total",
    "Requests that a replica answered, or failed to answer, by class of the status that the caller got (left: the caller went).",
    [*_PER_REPLICA, "code"],
)
FIRST_BYTE_SECONDS = Histogram(
    "headrace_proxy_time_to_first_byte_seconds",
    "From the request's head to the first byte of the answer's body.",
    _PER_REPLICA,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120),
)
REQUEST_SECONDS = Histogram(
    "headrace_proxy_request_seconds",
    "From the request's head to the end of the answer (WebSockets are not counted).",
    _PER_REPLICA,
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120, 600),
)
BROKEN = Counter(
    "headrace_proxy_broken_answers_total", "Answers that began and could not be finished.", [*_PER_REPLICA, "why"]
)
RETRIES = Counter("headrace_proxy_retries_total", "Requests sent again, by why.", ["service", "why"])
REFUSED = Counter("headrace_proxy_refused_total", "Requests that no replica got, by why.", ["service", "reason"])
EJECTIONS = Counter("headrace_proxy_ejections_total", "Replicas passed over after a failed connect.", ["service"])
TABLES = Gauge("headrace_proxy_route_tables", "Route tables in use.")
BUS_CONNECTED = Gauge("headrace_proxy_bus_connected", "1 while the message bus is connected.")
STORE_FAILURES = Counter("headrace_proxy_table_store_failures_total", "Passes that could not write the tables to disk.")

_REPLICA_SERIES: tuple[MetricWrapperBase, ...] = (REQUESTS, FIRST_BYTE_SECONDS, REQUEST_SECONDS, BROKEN)
_SERVICE_SERIES: tuple[MetricWrapperBase, ...] = (RETRIES, REFUSED, EJECTIONS)


class SeriesSweep:
    """Removes the series of replicas and services that are gone, some time after they went, so that the last values are scraped."""

    def __init__(self, *, after_s: float = 120.0) -> None:
        self._after_s = after_s
        self._replicas: dict[str, float] = {}
        self._services: dict[str, float] = {}

    def sweep(self, *, replicas: Collection[str], services: Collection[str], now_s: float) -> None:
        """Note what lives at `now_s` (any clock that goes forward) and remove what has not lived for long enough."""
        for gone in self._past(self._replicas, replicas, now_s):
            for metric in _REPLICA_SERIES:
                metric.remove_by_labels({"replica": gone})
        for gone in self._past(self._services, services, now_s):
            for metric in (*_SERVICE_SERIES, *_REPLICA_SERIES):
                metric.remove_by_labels({"service": gone})

    def _past(self, seen: dict[str, float], live: Collection[str], now_s: float) -> list[str]:
        seen.update(dict.fromkeys(live, now_s))
        past = [name for name, at in seen.items() if now_s - at > self._after_s]
        for name in past:
            del seen[name]
        return past


class InFlight(Collector):
    """`headrace_proxy_in_flight`, counted from the open requests at the moment of the scrape."""

    def __init__(self, count: Callable[[], Mapping[tuple[str, str], int]]) -> None:
        self._count = count

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the one family."""
        family = GaugeMetricFamily("headrace_proxy_in_flight", "Requests open at this moment.", labels=_PER_REPLICA)
        for labels, number in self._count().items():
            family.add_metric(labels, number)
        yield family
