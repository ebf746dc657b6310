"""Metrics that every service has. Each service adds its own in its `metrics.py`."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

PASS_SECONDS = Histogram(
    "headrace_reconcile_pass_seconds",
    "Wall time of one reconcile pass.",
    ["loop", "outcome"],
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10),
)
LAST_PASS_TIMESTAMP = Gauge(
    "headrace_reconcile_last_success_timestamp_seconds", "Unix time of the last pass that ended well.", ["loop"]
)
HTTP_SECONDS = Histogram(
    "headrace_http_request_seconds",
    "Time to answer requests of the service's own API.",
    ["method", "route", "code"],
    buckets=(0.002, 0.01, 0.05, 0.2, 1, 5, 30),
)
BUS_MESSAGES = Counter("headrace_bus_messages_total", "Bus messages by kind and direction.", ["message", "direction"])
BUS_REFUSED = Counter(
    "headrace_bus_refused_total", "Bus messages dropped: malformed, stale or foreign.", ["message", "why"]
)
