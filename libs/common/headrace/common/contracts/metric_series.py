"""Series of a service's metrics of which history is kept: names, units, and by what each is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

SeriesBy = Literal["service", "revision", "replica"]
"""What series are told by: all of the service together, each revision, or each replica."""
_ALL: Final[tuple[SeriesBy, ...]] = ("service", "revision", "replica")
_SERVICE: Final[tuple[SeriesBy, ...]] = ("service",)


class SeriesName(StrEnum):
    """Name of a series."""

    REQUESTS = "requests_per_second"
    SUCCEEDED = "succeeded_per_second"
    CLIENT_ERRORS = "client_errors_per_second"
    SERVER_ERRORS = "server_errors_per_second"
    INTERRUPTED = "interrupted_per_second"
    LEFT = "left_per_second"
    SUCCESS = "success_ratio"
    REFUSED = "refused_per_second"
    LATENCY_P50 = "latency_p50_s"
    LATENCY_P75 = "latency_p75_s"
    LATENCY_P90 = "latency_p90_s"
    LATENCY_P95 = "latency_p95_s"
    LATENCY_P99 = "latency_p99_s"
    FIRST_BYTE_P50 = "first_byte_p50_s"
    FIRST_BYTE_P75 = "first_byte_p75_s"
    FIRST_BYTE_P90 = "first_byte_p90_s"
    FIRST_BYTE_P95 = "first_byte_p95_s"
    FIRST_BYTE_P99 = "first_byte_p99_s"
    PROMPT_TOKENS = "prompt_tokens_per_second"
    COMPLETION_TOKENS = "completion_tokens_per_second"
    IN_FLIGHT = "in_flight"
    QUEUED = "queued"
    REPLICAS_WANTED = "replicas_wanted"
    REPLICAS_HEALTHY = "replicas_healthy"
    CPU = "cpu_cores"
    MEMORY = "memory_bytes"
    GPU = "gpu_percent"
    GPU_MEMORY = "gpu_memory_percent"


@dataclass(frozen=True, slots=True)
class SeriesKind:
    """What a series is."""

    unit: str
    text: str
    by: tuple[SeriesBy, ...] = _ALL


SERIES: Final[Mapping[SeriesName, SeriesKind]] = {
    SeriesName.REQUESTS: SeriesKind("1/s", "Requests that ended at a replica."),
    SeriesName.SUCCEEDED: SeriesKind("1/s", "Of these, those answered with a status below 400."),
    SeriesName.CLIENT_ERRORS: SeriesKind("1/s", "Of these, those answered with 4xx."),
    SeriesName.SERVER_ERRORS: SeriesKind("1/s", "Of these, those answered with 5xx."),
    SeriesName.INTERRUPTED: SeriesKind("1/s", "Responses that were interrupted after their head was sent."),
    SeriesName.LEFT: SeriesKind("1/s", "Callers who left before an answer."),
    SeriesName.SUCCESS: SeriesKind("ratio", "Share of the answered requests without 5xx and without an interruption."),
    SeriesName.REFUSED: SeriesKind("1/s", "Requests refused before a replica got them, all and by reason.", _SERVICE),
    SeriesName.LATENCY_P50: SeriesKind("s", "Time to the end of the response: half of the requests took less."),
    SeriesName.LATENCY_P75: SeriesKind("s", "The same of 75 % of the requests."),
    SeriesName.LATENCY_P90: SeriesKind("s", "The same of 90 % of the requests."),
    SeriesName.LATENCY_P95: SeriesKind("s", "The same of 95 % of the requests."),
    SeriesName.LATENCY_P99: SeriesKind("s", "The same of 99 % of the requests."),
    SeriesName.FIRST_BYTE_P50: SeriesKind(
        "s", "Time to the first byte of the response's content, of half of the requests."
    ),
    SeriesName.FIRST_BYTE_P75: SeriesKind("s", "The same of 75 % of the requests."),
    SeriesName.FIRST_BYTE_P90: SeriesKind("s", "The same of 90 % of the requests."),
    SeriesName.FIRST_BYTE_P95: SeriesKind("s", "The same of 95 % of the requests."),
    SeriesName.FIRST_BYTE_P99: SeriesKind("s", "The same of 99 % of the requests."),
    SeriesName.PROMPT_TOKENS: SeriesKind("1/s", "Tokens of prompts, by the `usage` of engines' responses."),
    SeriesName.COMPLETION_TOKENS: SeriesKind("1/s", "Generated tokens, by the `usage` of engines' responses."),
    SeriesName.IN_FLIGHT: SeriesKind("requests", "Open requests at replicas, mean of the step."),
    SeriesName.QUEUED: SeriesKind("requests", "Requests in the queue, mean of the step.", _SERVICE),
    SeriesName.REPLICAS_WANTED: SeriesKind("replicas", "Replicas that are wanted.", _SERVICE),
    SeriesName.REPLICAS_HEALTHY: SeriesKind("replicas", "Replicas that serve.", _SERVICE),
    SeriesName.CPU: SeriesKind("cores", "CPU cores that replicas used."),
    SeriesName.MEMORY: SeriesKind("bytes", "Memory that replicas used."),
    SeriesName.GPU: SeriesKind("percent", "Utilisation of replicas' GPUs, mean."),
    SeriesName.GPU_MEMORY: SeriesKind("percent", "Memory in use of replicas' GPUs, mean."),
}
QUANTILES: Final[Mapping[SeriesName, float]] = {
    SeriesName.LATENCY_P50: 0.50,
    SeriesName.LATENCY_P75: 0.75,
    SeriesName.LATENCY_P90: 0.90,
    SeriesName.LATENCY_P95: 0.95,
    SeriesName.LATENCY_P99: 0.99,
    SeriesName.FIRST_BYTE_P50: 0.50,
    SeriesName.FIRST_BYTE_P75: 0.75,
    SeriesName.FIRST_BYTE_P90: 0.90,
    SeriesName.FIRST_BYTE_P95: 0.95,
    SeriesName.FIRST_BYTE_P99: 0.99,
}
"""Quantile of each series of latencies."""
