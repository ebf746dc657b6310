"""Sums of what was counted in one step of one thing: a service, a revision or a replica."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from headrace.common.contracts.messages.traffic import ReplicaTraffic, added
from headrace.common.contracts.metric_series import QUANTILES, SeriesName
from headrace.manager.domain.metric_history.points import Point, ReplicaResources
from headrace.manager.domain.metric_history.quantiles import quantile

_TOTALS: Final = ("cpu_cores", "memory_bytes")
_MEANS: Final = ("gpu_percent", "gpu_memory_percent")


@dataclass(slots=True)
class Sums:
    """Counts, histograms and levels, to which windows and minutes are added."""

    succeeded: int = 0
    client_errors: int = 0
    server_errors: int = 0
    interrupted: int = 0
    left: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    latencies: dict[int, int] = field(default_factory=dict)
    first_bytes: dict[int, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    in_flight_s: float = 0.0
    queued_s: float = 0.0
    used_s: dict[str, float] = field(default_factory=dict)
    """Resource times seconds, by name."""
    measured_s: dict[str, dict[datetime, int]] = field(default_factory=dict)
    """Intervals in which each was measured of some replica."""
    replica_s: dict[str, int] = field(default_factory=dict)
    """Seconds in which each was measured, summed over replicas."""

    def add_waiting(self, point: Point, span_s: int) -> None:
        """Add what was refused and queued of a service in an interval."""
        self.queued_s += point.queued * span_s
        self.refused = added(self.refused, point.refused)

    def add_traffic(self, one: ReplicaTraffic, span_s: int) -> None:
        """Add a replica's traffic of an interval."""
        self.succeeded += one.succeeded
        self.client_errors += one.client_errors
        self.server_errors += one.server_errors
        self.interrupted += one.interrupted
        self.left += one.left
        self.prompt_tokens += one.prompt_tokens
        self.completion_tokens += one.completion_tokens
        self.latencies = added(self.latencies, one.latencies)
        self.first_bytes = added(self.first_bytes, one.first_bytes)
        self.in_flight_s += one.in_flight * span_s

    def add_resources(self, one: ReplicaResources, at: datetime, span_s: int) -> None:
        """Add what a replica used in an interval."""
        for name in (*_TOTALS, *_MEANS):
            value = getattr(one, name)
            if value is not None:
                self.used_s[name] = self.used_s.get(name, 0.0) + value * span_s
                self.measured_s.setdefault(name, {})[at] = span_s
                self.replica_s[name] = self.replica_s.get(name, 0) + span_s

    @property
    def requests(self) -> int:
        """Number of requests that ended at a replica."""
        return self.succeeded + self.client_errors + self.server_errors + self.left

    @property
    def busy(self) -> bool:
        """Whether there was any traffic."""
        return bool(self.requests or self.refused or self.in_flight_s or self.queued_s)

    def value(self, name: SeriesName, heard_s: int) -> float | None:
        """Return the value of a series in this step, in which app-proxies were heard for so many seconds; None: not known."""
        if name in _RESOURCES:
            return self._resource(_RESOURCES[name])
        if not heard_s:
            return None
        if name in QUANTILES:
            return quantile(self.latencies if name.startswith("latency") else self.first_bytes, QUANTILES[name])
        if name is SeriesName.SUCCESS:
            answered = self.succeeded + self.client_errors + self.server_errors
            return 1 - (self.server_errors + self.interrupted) / answered if answered else None
        return _RATES[name](self) / heard_s

    def _resource(self, name: str) -> float | None:
        if name not in self.used_s:
            return None
        seconds = sum(self.measured_s[name].values()) if name in _TOTALS else self.replica_s[name]
        return self.used_s[name] / seconds


_RESOURCES: Final[Mapping[SeriesName, str]] = {
    name: str(name) for name in (SeriesName.CPU, SeriesName.MEMORY, SeriesName.GPU, SeriesName.GPU_MEMORY)
}
_RATES: Final[Mapping[SeriesName, Callable[[Sums], float]]] = {
    SeriesName.REQUESTS: lambda sums: sums.requests,
    SeriesName.SUCCEEDED: lambda sums: sums.succeeded,
    SeriesName.CLIENT_ERRORS: lambda sums: sums.client_errors,
    SeriesName.SERVER_ERRORS: lambda sums: sums.server_errors,
    SeriesName.INTERRUPTED: lambda sums: sums.interrupted,
    SeriesName.LEFT: lambda sums: sums.left,
    SeriesName.REFUSED: lambda sums: sum(sums.refused.values()),
    SeriesName.PROMPT_TOKENS: lambda sums: sums.prompt_tokens,
    SeriesName.COMPLETION_TOKENS: lambda sums: sums.completion_tokens,
    SeriesName.IN_FLIGHT: lambda sums: sums.in_flight_s,
    SeriesName.QUEUED: lambda sums: sums.queued_s,
}
