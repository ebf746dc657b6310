"""Views of metrics: their history, and what they are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from headrace.common.contracts.http.metrics import (
    MetricHistory,
    MetricName,
    MetricNames,
    MetricSeries,
    MetricsNow,
    ServiceMetricsNow,
)
from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.metric_series import SERIES, SeriesName
from headrace.manager.domain.metric_history.series import Chosen, SeriesFound
from headrace.manager.domain.metric_history.sums import Sums
from headrace.manager.domain.records.metric_history import NamedService


def history_view(chosen: Chosen, found: SeriesFound, numbers: Mapping[UUID, int]) -> MetricHistory:
    """Return series as they are shown. `numbers`: of revisions."""
    return MetricHistory(
        since=chosen.interval.since,
        until=chosen.interval.until,
        step_s=chosen.interval.step_s,
        by=chosen.by,
        series=tuple(
            MetricSeries(
                name=one.name,
                unit=SERIES[one.name].unit,
                id=one.id,
                label=str(numbers[one.id]) if one.id is not None and one.id in numbers else None,
                reason=one.reason,
                values=one.values,
            )
            for one in found.series
        ),
        left_out=found.left_out,
    )


def names_view(kept_for: timedelta) -> MetricNames:
    """Return all series."""
    return MetricNames(
        items=tuple(MetricName(name=name, unit=kind.unit, text=kind.text, by=kind.by) for name, kind in SERIES.items()),
        kept_s=int(kept_for.total_seconds()),
    )


def now_view(
    services: Sequence[NamedService], sums: Mapping[ServiceId, Sums], *, at: datetime, window_s: int, heard_s: int
) -> MetricsNow:
    """Return what services' traffic is now."""
    return MetricsNow(
        at=at,
        window_s=window_s,
        heard=heard_s > 0,
        items=tuple(_now_of(one, sums[one.id], heard_s) for one in services),
    )


def _now_of(service: NamedService, sums: Sums, heard_s: int) -> ServiceMetricsNow:
    def rate(name: SeriesName) -> float:
        return round(sums.value(name, heard_s) or 0.0, 6)

    return ServiceMetricsNow(
        id=service.id,
        name=service.name,
        project=service.project,
        requests_per_second=rate(SeriesName.REQUESTS),
        client_errors_per_second=rate(SeriesName.CLIENT_ERRORS),
        server_errors_per_second=rate(SeriesName.SERVER_ERRORS),
        refused_per_second=rate(SeriesName.REFUSED),
        success_ratio=sums.value(SeriesName.SUCCESS, heard_s),
        latency_p50_s=sums.value(SeriesName.LATENCY_P50, heard_s),
        latency_p95_s=sums.value(SeriesName.LATENCY_P95, heard_s),
        tokens_per_second=rate(SeriesName.PROMPT_TOKENS) + rate(SeriesName.COMPLETION_TOKENS),
        in_flight=rate(SeriesName.IN_FLIGHT),
        queued=rate(SeriesName.QUEUED),
    )
