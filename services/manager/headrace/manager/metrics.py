"""Prometheus metrics of the manager, beside those that every service has."""

from __future__ import annotations

from typing import get_args

from prometheus_client import Counter, Gauge, Histogram

from headrace.manager.domain.lifecycle.replica_state import EndCause

SESSIONS = Gauge("headrace_manager_sessions", "Live sessions, as the services loop saw them last.", ["status"])
STARTS_FAILED = Counter("headrace_manager_failed_starts_total", "Replicas that ended before they were healthy.")
ENDED = Counter(
    "headrace_manager_ended_replicas_total",
    "Replicas that ended in operation: their container exited, or they failed their health checks and were replaced.",
    ["cause"],  # replica_state.EndCause
)
for _cause in get_args(EndCause):
    ENDED.labels(_cause)  # from the start: a rate over a series that begins with its first end misses that
PLACED = Counter("headrace_manager_placed_sessions_total", "Sessions that got a machine.")
WAITING = Gauge("headrace_manager_waiting_sessions", "Sessions that found no machine in the last pass.")
PLACING_SECONDS = Histogram(
    "headrace_manager_placing_seconds",
    "Time to decide on all pending sessions of one pass.",
    buckets=(0.001, 0.01, 0.05, 0.2, 1, 5),
)
PASSED_OVER = Counter("headrace_manager_passed_over_total", "Rows that a loop could not handle and skipped.", ["loop"])
DROPPED = Counter("headrace_manager_dropped_rows_total", "Rows deleted after their retention, by kind.", ["kind"])
FOLDERS_MEASURED = Counter(
    "headrace_manager_measured_folders_total",
    "Folders walked to check their stored size.",
    ["outcome"],
)
TABLES_PUBLISHED = Counter("headrace_manager_published_total", "Plans and tables that were published.", ["message"])
TABLES_UNBUILT = Gauge(
    "headrace_manager_unbuilt_tables", "Plans and tables that cannot be made from what is stored.", ["message"]
)
