"""The autoscaler's own metrics."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

SAMPLES = Counter(
    "headrace_autoscaler_samples_total",
    "Samples from the bus: kept (a rule names their metric), unwanted, dropped (buffer full or Redis away).",
    ["outcome"],
)
SERVICES = Gauge("headrace_autoscaler_services", "Services that have rules.")
LEASED = Gauge("headrace_autoscaler_leased_services", "Services that this autoscaler evaluates.")
DECISIONS = Counter(
    "headrace_autoscaler_decisions_total",
    "Scale requests by what became of them: applied, refused, unanswered, unrecorded (Redis went away before asking).",
    ["outcome"],
)
LOOKS = Gauge("headrace_autoscaler_looks", "Rules at the last tick, by the code of the reason.", ["code"])
PAUSED = Gauge("headrace_autoscaler_paused", "1 while nothing can be evaluated since Redis is away.")
REPORTS = Counter("headrace_autoscaler_reports_total", "Rule reports published.")
