"""StatsDelta: counters of one worker since its last report. Telemetry makes it, and merges it into the parent's
counters.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import NonNegativeInt

from headrace.common.contracts.ids import RevisionId, ServiceId, SessionId


@dataclass(frozen=True, slots=True)
class HistogramCounts:
    """Histogram buckets (the last one is +Inf) and the sum of the values. Parent and workers use the same bounds."""

    buckets: tuple[NonNegativeInt, ...]
    total: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaCounts:
    """Counters of one replica since the last report. An empty histogram is None."""

    service_id: ServiceId
    service: str
    revision_id: RevisionId
    session_id: SessionId
    codes: dict[NonNegativeInt, NonNegativeInt]
    """Responses by status, 0 for callers who left before one."""
    broken: dict[str, NonNegativeInt]
    """Interrupted responses, by reason."""
    bytes_received: NonNegativeInt
    bytes_sent: NonNegativeInt
    prompt_tokens: NonNegativeInt
    completion_tokens: NonNegativeInt
    retried: NonNegativeInt
    cut: NonNegativeInt
    durations: HistogramCounts | None
    first_bytes: HistogramCounts | None
    per_event: HistogramCounts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCounts:
    """Counters of one service since the last report, beside those of its replicas."""

    service_id: ServiceId
    service: str
    refused: dict[str, NonNegativeInt]
    retries: dict[str, NonNegativeInt]
    ejections: NonNegativeInt
    preflights: NonNegativeInt
    queue_seconds: HistogramCounts | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatsDelta:
    """Counters of one worker since its last report: only services and replicas of which something was counted."""

    services: tuple[ServiceCounts, ...] = ()
    replicas: tuple[ReplicaCounts, ...] = ()
    malformed: dict[str, NonNegativeInt]
    """Malformed requests, by reason."""
    unknown: dict[str, NonNegativeInt]
    """Requests refused before their service was known, by reason."""
    illegal_transitions: dict[str, NonNegativeInt]
    """Illegal state transitions of requests, by state and event."""
    preflights: NonNegativeInt = 0
    """Answered CORS preflights at the fleet's base URL."""
