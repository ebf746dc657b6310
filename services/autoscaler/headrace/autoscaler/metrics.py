"""Prometheus metrics of the autoscaler, beside those that every service has."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

SAMPLES = Counter("headrace_autoscaler_samples_total", "Metric samples received from the bus, by outcome.", ["outcome"])
SERVICES = Gauge("headrace_autoscaler_services", "Services with rules.")
LEASED = Gauge("headrace_autoscaler_leased_services", "Services whose lease this autoscaler holds: it evaluates them.")
SCALE_REQUESTS = Counter(
    "headrace_autoscaler_scale_requests_total", "Scale requests to the manager, by outcome.", ["outcome"]
)
RULES_BY_REASON = Gauge(
    "headrace_autoscaler_rules",
    "Rules that the last tick evaluated, by the reason for which they fired or did not.",
    ["reason"],
)
PAUSED = Gauge("headrace_autoscaler_paused", "1 while no rule is evaluated because Redis does not answer, else 0.")
REPORTS = Counter("headrace_autoscaler_reports_total", "Rule reports published for the manager.")
