"""Metrics of services: their history, and what they are now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from headrace.common.contracts.http.metrics import MetricHistory, MetricNames, MetricsNow
from headrace.common.contracts.metric_series import SeriesBy
from headrace.sdk.transport import Transport, segment


class Metrics:
    """Client of services' metrics: traffic, latencies, replicas, resources."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def history(
        self,
        service: object,
        *,
        series: Sequence[str] = (),
        by: SeriesBy = "service",
        since: datetime | None = None,
        until: datetime | None = None,
        step_s: int | None = None,
    ) -> MetricHistory:
        """Return series of a service, by default all of them of the last hour; `names` has their names and units."""
        query: dict[str, Any] = {
            "series": ",".join(series) or None,
            "by": by,
            "from": since.isoformat() if since is not None else None,
            "to": until.isoformat() if until is not None else None,
            "step_s": step_s,
        }
        given = {name: value for name, value in query.items() if value is not None}
        return self._transport.one(MetricHistory, "GET", f"/v1/services/{segment(service)}/metrics", query=given)

    def names(self, service: object) -> MetricNames:
        """Return the series that there is history of."""
        return self._transport.one(MetricNames, "GET", f"/v1/services/{segment(service)}/metrics/names")

    def now(self, *, project: str | None = None) -> MetricsNow:
        """Return the traffic of services in the last minute; those without any are left out."""
        query = {"project": project} if project is not None else {}
        return self._transport.one(MetricsNow, "GET", "/v1/metrics/now", query=query)
