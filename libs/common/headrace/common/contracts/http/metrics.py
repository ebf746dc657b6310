"""Metrics of services: their history, and what they are now."""

from __future__ import annotations

from uuid import UUID

from pydantic import AwareDatetime

from headrace.common.contracts.http.page import View
from headrace.common.contracts.metric_series import SeriesBy, SeriesName


class MetricSeries(View):
    """Values of one series."""

    name: SeriesName
    unit: str
    id: UUID | None = None
    """Revision or replica; null: all of the service, or those that are summed since there were too many."""
    label: str | None = None
    """Number of the revision; null for a replica, or where nothing is left of it."""
    reason: str | None = None
    """Reason of refusals; null: all of them."""
    values: tuple[float | None, ...]
    """A value for each step; null: not known, or nothing to measure, as latencies without a request. Zero is zero."""


class MetricHistory(View):
    """Series of a service in an interval."""

    since: AwareDatetime
    """Beginning of the first step."""
    until: AwareDatetime
    """End of the last step, which may not be over."""
    step_s: int
    """Value n is that of the step that begins n times so many seconds after `since`."""
    by: SeriesBy
    series: tuple[MetricSeries, ...]
    left_out: int = 0
    """Revisions or replicas that are not told of: those with fewest requests."""


class MetricName(View):
    """Series that a service has history of."""

    name: SeriesName
    unit: str
    text: str
    by: tuple[SeriesBy, ...]


class MetricNames(View):
    """All series, and how long history is kept."""

    items: tuple[MetricName, ...]
    kept_s: int
    """Seconds that history goes back."""


class ServiceMetricsNow(View):
    """Traffic of a service in the last minute."""

    id: UUID
    name: str
    project: str
    requests_per_second: float
    client_errors_per_second: float
    server_errors_per_second: float
    refused_per_second: float
    success_ratio: float | None = None
    """Null: nothing was answered."""
    latency_p50_s: float | None = None
    latency_p95_s: float | None = None
    tokens_per_second: float
    """Tokens of prompts and generated ones."""
    in_flight: float
    queued: float


class MetricsNow(View):
    """Traffic of all services in the last minute; those without any are left out."""

    at: AwareDatetime
    """End of the interval."""
    window_s: int
    """Length of the interval."""
    heard: bool
    """Whether app-proxies were heard in it. If not, nothing is known: services that are not listed need not be without traffic."""
    items: tuple[ServiceMetricsNow, ...]
