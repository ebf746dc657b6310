"""Prometheus metrics of the agent."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

KERNELS = Gauge("headrace_agent_kernels", "Kernels by state, as last reported.", ["state"])
APPLIED_GENERATION = Gauge("headrace_agent_plan_generation", "Generation of the newest plan.")
OPERATIONS = Counter("headrace_agent_operations_total", "Operations on kernels.", ["operation", "outcome"])
START_SECONDS = Histogram(
    "headrace_agent_start_seconds",
    "From the decision to start a kernel until its program runs.",
    ["outcome"],
    buckets=(0.05, 0.2, 0.5, 1, 2, 5, 15, 60, 300, 1800),
)
HEALTH_CHECKS = Counter("headrace_agent_health_checks_total", "Health checks of kernels.", ["outcome"])
DISK_FREE = Gauge("headrace_agent_disk_free_bytes", "Free bytes of the file system of the agent's data folder.")
ENGINE_DISK_FREE = Gauge(
    "headrace_agent_engine_disk_free_bytes",
    "Free bytes of the file system of the container engine's data, where it is another one.",
)
DISK_WRITES_FAILED = Counter(
    "headrace_agent_disk_writes_failed_total", "Files of the agent that could not be written; they are tried again."
)
PLANS_REFUSED = Counter("headrace_agent_plans_refused_total", "Plans older than the newest one.")
SCRAPES = Counter("headrace_agent_engine_scrapes_total", "Reads of engines' own metrics pages.", ["outcome"])
LOG_STREAMS = Gauge("headrace_agent_log_streams", "Logs being sent over the bus.")
