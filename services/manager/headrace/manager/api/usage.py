"""Routes of usage: as JSON, and as CSV."""

from __future__ import annotations

from aiohttp import web
from pydantic import Field

from headrace.common.contracts.http.page import GivenTime
from headrace.common.contracts.http.usage import UsageReport
from headrace.common.contracts.problems import Forbidden, NotFound
from headrace.common.contracts.usage_csv import usage_csv
from headrace.common.contracts.vocabulary import UsageBy, UsageStep
from headrace.manager.api.routing import Call, Query, Reference, Reply, Routes, json_reply

routes = Routes("usage")


class UsageQuery(Query):
    """Query parameters of usage."""

    project: Reference | None = None
    """Name or id. Default: all projects that the caller sees."""
    service: Reference | None = None
    """Name or id."""
    by: UsageBy | None = None
    """Sum up by this. Default: all of it together."""
    step: UsageStep | None = None
    """Sum up by this interval, in UTC. Default: all of the time together."""
    since: GivenTime | None = Field(None, alias="from")
    """From this time on. Default: the beginning of the month."""
    until: GivenTime | None = Field(None, alias="to")
    """Before this time. Default: now."""


async def _report(call: Call) -> UsageReport:
    asked = call.query(UsageQuery)
    return await call.use.usage.report(
        call.actor,
        project=asked.project,
        service=asked.service,
        by=asked.by,
        step=asked.step,
        since=asked.since,
        until=asked.until,
    )


@routes.on(
    "GET",
    "/v1/usage",
    query=UsageQuery,
    replies={200: Reply("Usage.", UsageReport)},
    problems=(Forbidden, NotFound),
)
async def report_usage(call: Call) -> web.Response:
    """Show usage: requests and tokens of callers, and hours of GPUs, cores and memory that replicas held.

    Operators see that of all projects, others that of theirs. All of it is in one answer, of at most 10,000 rows.
    """
    return json_reply(await _report(call))


@routes.on(
    "GET",
    "/v1/usage.csv",
    query=UsageQuery,
    replies={200: Reply("Usage, a header line first.", media_type="text/csv")},
    problems=(Forbidden, NotFound),
)
async def download_usage(call: Call) -> web.Response:
    """Return usage as CSV (RFC 4180)."""
    return web.Response(text=usage_csv(await _report(call)), content_type="text/csv", charset="utf-8")
