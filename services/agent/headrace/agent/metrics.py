"""Prometheus metrics of the agent, beside those that every service has."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

KERNELS = Gauge("headrace_agent_kernels", "Kernels in the last report, by state.", ["state"])
APPLIED_GENERATION = Gauge("headrace_agent_plan_generation", "Generation of the machine's plan in use.")
OPERATIONS = Counter("headrace_agent_operations_total", "Operations on kernels that ended.", ["operation", "outcome"])
START_SECONDS = Histogram(
    "headrace_agent_start_seconds",
    "Time from the decision to start a kernel until its process runs, with the pull of its image.",
    ["outcome"],
    buckets=(0.05, 0.2, 0.5, 1, 2, 5, 15, 60, 300, 1800),
)
HEALTH_CHECKS = Counter("headrace_agent_health_checks_total", "Health checks of kernels, by outcome.", ["outcome"])
DISK_FREE = Gauge("headrace_agent_disk_free_bytes", "Free bytes on the file system of the agent's data folder.")
ENGINE_DISK_FREE = Gauge(
    "headrace_agent_engine_disk_free_bytes",
    "Free bytes on the file system of the container engine's images and containers, where that is another one.",
)
DISK_WRITES_FAILED = Counter(
    "headrace_agent_disk_writes_failed_total", "Writes of the agent's state to disk that failed; they are tried again."
)
FOLDER_BYTES_FETCHED = Counter(
    "headrace_agent_folder_fetched_bytes_total", "Bytes of model folders fetched from managers."
)
FOLDER_FETCHES = Gauge("headrace_agent_folder_fetches", "Model folders that are fetched now.")
FOLDER_FETCHES_BROKEN = Counter(
    "headrace_agent_folder_broken_requests_total",
    "Requests for model folders that broke or were refused; they are continued.",
)
FOLDER_CACHE_BYTES = Gauge("headrace_agent_folder_cache_bytes", "Bytes that the folder cache holds.")
FOLDER_EVICTIONS = Counter(
    "headrace_agent_folder_cache_evictions_total", "Snapshots of model folders that left the cache to make room."
)
PLANS_REFUSED = Counter(
    "headrace_agent_plans_refused_total", "Plans refused because their generation is older than the one in use."
)
SCRAPES = Counter("headrace_agent_engine_scrapes_total", "Scrapes of engines' /metrics, by outcome.", ["outcome"])
LOG_STREAMS = Gauge("headrace_agent_log_streams", "Log streams open: logs that are sent over the bus now.")
