"""Prometheus metrics of the manager, beside those that every service has."""

from __future__ import annotations

from typing import get_args

from prometheus_client import Counter, Gauge, Histogram

from headrace.common.contracts.vocabulary import FollowEnd
from headrace.manager.domain.lifecycle.replica_state import EndCause

SESSIONS = Gauge("headrace_manager_sessions", "Sessions of the installation by status, without ended ones.", ["status"])
AGENTS = Gauge("headrace_manager_agents", "Machines of the installation by status.", ["status"])
SERVICE_REPLICAS = Gauge(
    "headrace_manager_service_replicas",
    "Replicas of each service that should have any: how many are wanted, and how many surely take requests.",
    ["project", "service", "state"],
)
LAST_BACKUP = Gauge(
    "headrace_manager_last_backup_timestamp_seconds",
    "Unix time at which the newest backup was complete; 0: none is known.",
)
STARTS_FAILED = Counter(
    "headrace_manager_failed_starts_total", "Replicas that ended or were given up before they were healthy."
)
ENDED = Counter(
    "headrace_manager_ended_replicas_total",
    "Replicas that ended in operation: their container exited, or they failed their health checks and were replaced.",
    ["cause"],  # replica_state.EndCause
)
for _cause in get_args(EndCause):
    ENDED.labels(_cause)  # from the start: a rate over a series that begins with its first end misses that
PLACED = Counter("headrace_manager_placed_sessions_total", "Sessions placed on a machine.")
UNPLACED = Gauge("headrace_manager_unplaced_sessions", "Pending sessions that fitted on no machine in the last pass.")
PLACEMENT_SECONDS = Histogram(
    "headrace_manager_placement_seconds",
    "Duration of the placement decision for all pending sessions of a pass, without database.",
    buckets=(0.001, 0.01, 0.05, 0.2, 1, 5),
)
SKIPPED_ROWS = Counter(
    "headrace_manager_skipped_rows_total", "Rows that a loop could not handle and skipped.", ["loop"]
)
DELETED_ROWS = Counter("headrace_manager_deleted_rows_total", "Rows deleted at the end of their retention.", ["kind"])
FOLDERS_MEASURED = Counter(
    "headrace_manager_measured_folders_total",
    "Model folders whose stored size was compared with their files.",
    ["outcome"],
)
SNAPSHOTS = Counter(
    "headrace_manager_snapshots_total", "Snapshots of model folders that this manager made or removed.", ["event"]
)
FOLDERS_PURGED = Counter(
    "headrace_manager_folders_purged_total",
    "Deleted folders that this manager removed when their time in the trash was over.",
)
IMPORTS = Counter(
    "headrace_manager_imports_total", "Attempts of this manager to import the files of a model URI.", ["outcome"]
)
IMPORTED_BYTES = Counter("headrace_manager_imported_bytes_total", "Bytes that this manager fetched from model URIs.")
SNAPSHOT_BYTES = Counter(
    "headrace_manager_snapshot_bytes_total", "Bytes of model folders sent to agents that fetch them."
)
SNAPSHOT_REQUESTS = Gauge(
    "headrace_manager_snapshot_requests", "Requests of agents for parts of model folders that are answered now."
)
FOLLOWERS = Gauge("headrace_manager_followers", "Streams of live events that are open.")
FOLLOWERS_ENDED = Counter(
    "headrace_manager_ended_followers_total",
    "Streams of live events that the manager ended.",
    ["reason"],  # vocabulary.FollowEnd
)
for _reason in get_args(FollowEnd):
    FOLLOWERS_ENDED.labels(_reason)
WEBHOOK_DELIVERIES = Counter(
    "headrace_manager_webhook_deliveries_total", "Tries of this manager to deliver an event to a webhook.", ["outcome"]
)
TABLES_PUBLISHED = Counter(
    "headrace_manager_published_total", "Plans, route tables and rule tables published on the bus.", ["message"]
)
TABLES_UNBUILT = Gauge(
    "headrace_manager_unbuilt_tables",
    "Plans, route tables and rule tables that cannot be built from what is stored; the previous ones are in force.",
    ["message"],
)
