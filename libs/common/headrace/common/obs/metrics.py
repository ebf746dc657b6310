"""Metrics that every service has. Each service adds its own in its `metrics.py`.

docs/metrics.md is made from all of them (`make contracts`).
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

PASS_SECONDS = Histogram(
    "headrace_reconcile_pass_seconds",
    "Duration of a loop's passes.",
    ["loop", "outcome"],
    buckets=(0.005, 0.02, 0.1, 0.5, 2, 10),
)
LAST_PASS_TIMESTAMP = Gauge(
    "headrace_reconcile_last_success_timestamp_seconds", "Unix time of a loop's last successful pass.", ["loop"]
)
HTTP_SECONDS = Histogram(
    "headrace_http_request_seconds",
    "Duration of requests to the service's own HTTP server: the API of the manager, the admin pages of the others.",
    ["method", "route", "code"],
    buckets=(0.002, 0.01, 0.05, 0.2, 1, 5, 30),
)
BUILD_INFO = Gauge(
    "headrace_build_info", "Always 1; the label says which version of Headrace the process runs.", ["version"]
)
CERTIFICATE_ENDS = Gauge(
    "headrace_http_certificate_expiry_timestamp_seconds",
    "Unix time at which the certificate of the service's own HTTP server ends; 0: it has none.",
)
BUS_MESSAGES = Counter(
    "headrace_bus_messages_total", "Messages received from the bus, and published on it.", ["message", "direction"]
)
BUS_REFUSED = Counter(
    "headrace_bus_refused_total", "Messages received from the bus and dropped, by reason.", ["message", "reason"]
)
