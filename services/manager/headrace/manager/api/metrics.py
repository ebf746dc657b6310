"""Routes of services' metrics: their history, and what they are now."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field

from headrace.common.contracts.http.metrics import MetricHistory, MetricNames, MetricsNow
from headrace.common.contracts.http.page import GivenTime
from headrace.common.contracts.messages.traffic import WINDOW_S
from headrace.common.contracts.metric_series import SERIES, SeriesBy, SeriesName
from headrace.common.contracts.problems import Forbidden, InvalidRequest, NotFound
from headrace.common.contracts.wording import shown
from headrace.manager.api.routing import Call, Query, Reference, Reply, Routes, json_reply

routes = Routes("metrics")


class MetricHistoryQuery(Query):
    """Query parameters of metrics' history."""

    series: Annotated[str, Field(max_length=1000)] | None = None
    """Names, separated by commas. Default: all that are told by `by`."""
    by: SeriesBy = "service"
    """A series for all of the service, for each of its revisions, or for each replica; the 20 with most requests."""
    since: GivenTime | None = Field(None, alias="from")
    """From this time on, at most seven days ago. Default: an hour before `to`."""
    until: GivenTime | None = Field(None, alias="to")
    """Before this time. Default: now."""
    step_s: Annotated[int, Field(ge=WINDOW_S, le=86_400)] | None = None
    """Seconds of a step: a multiple of 10 within the last hour, else of 60. Default: the shortest with at most 240 steps."""


class MetricsNowQuery(Query):
    """Query parameters of metrics as they are now."""

    project: Reference | None = None
    """Name or id. Default: all projects that the caller sees."""


@routes.on(
    "GET",
    "/v1/services/{service}/metrics",
    query=MetricHistoryQuery,
    replies={200: Reply("Series.", MetricHistory)},
    problems=(Forbidden, NotFound),
)
async def show_metric_history(call: Call) -> web.Response:
    """Show the history of a service's metrics: traffic, latencies, replicas, resources, of the last seven days.

    In steps of ten seconds within the last hour, else of minutes. A value is null where nothing is known.
    """
    asked = call.query(MetricHistoryQuery)
    found = await call.use.metric_history.history(
        call.actor,
        call["service"],
        names=_names(asked.series),
        by=asked.by,
        since=asked.since,
        until=asked.until,
        step_s=asked.step_s,
    )
    return json_reply(found)


@routes.on(
    "GET",
    "/v1/services/{service}/metrics/names",
    replies={200: Reply("Names of series.", MetricNames)},
    problems=(Forbidden, NotFound),
)
async def list_metric_names(call: Call) -> web.Response:
    """List the series that a service has history of, with their units."""
    return json_reply(await call.use.metric_history.names(call.actor, call["service"]))


@routes.on(
    "GET",
    "/v1/metrics/now",
    query=MetricsNowQuery,
    replies={200: Reply("Traffic of services.", MetricsNow)},
    problems=(Forbidden, NotFound),
)
async def show_metrics_now(call: Call) -> web.Response:
    """Show the traffic of all services in the last minute; those without any are left out."""
    return json_reply(await call.use.metrics_now.now(call.actor, project=call.query(MetricsNowQuery).project))


def _names(text: str | None) -> list[SeriesName]:
    """Return the series that are asked for, each once. Raises InvalidRequest."""
    given = dict.fromkeys(part.strip() for part in (text or "").split(",") if part.strip())
    for name in given:
        if name not in SERIES:
            raise InvalidRequest.of("series", shown(name), ", ".join(SERIES))
    return [SeriesName(name) for name in given]
