"""Prometheus metrics of the autoscaler."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

SAMPLES = Counter(
    "headrace_autoscaler_samples_total",
    "Samples from the bus: kept (a rule names their metric), unwanted, dropped (buffer full or Redis unavailable).",
    ["outcome"],
)
SERVICES = Gauge("headrace_autoscaler_services", "Services that have rules.")
LEASED = Gauge("headrace_autoscaler_leased_services", "Services that this autoscaler evaluates.")
DECISIONS = Counter(
    "headrace_autoscaler_decisions_total",
    "Scale requests by outcome: applied, refused, unanswered, unrecorded (Redis failed before the request).",
    ["outcome"],
)
RULES_BY_REASON = Gauge("headrace_autoscaler_looks", "Rules at the last tick, by the code of their reason.", ["code"])
PAUSED = Gauge("headrace_autoscaler_paused", "1 while no rule is evaluated, because Redis is unavailable.")
REPORTS = Counter("headrace_autoscaler_reports_total", "Rule reports published.")
