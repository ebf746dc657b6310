"""Routes of logs, of replicas and of trial runs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from aiohttp import web
from pydantic import AfterValidator, AwareDatetime, Field

from headrace.common.contracts.problems import BusUnavailable, Problem, TooManyRequests
from headrace.common.contracts.wording import Refused
from headrace.manager.api.routing import Call, Query, Reply, Routes
from headrace.manager.usecases.logs import LogSource

routes = Routes("operation")
TEXT = {200: Reply("Lines `<UTC timestamp> <text>`, as they arrive.", media_type="text/plain")}


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Refused(moment.isoformat(), "a time that is in the years 1 to 9999 also in UTC") from None


class LogQuery(Query):
    """Query parameters of a log."""

    tail: Annotated[int, Field(ge=0, le=1_000_000)] = 2000
    """The last lines; with follow also those that come."""
    follow: bool = False
    download: Literal["all"] | None = None
    """All lines that are kept, whatever `tail` says."""
    since: Annotated[AwareDatetime, AfterValidator(_in_utc)] | None = None
    """Instead of `tail`: all lines that are kept from this time on, also of replicas that ended since."""


class ServiceLogQuery(LogQuery):
    """Query parameters of a service's log."""

    replica: UUID | None = None
    """One replica. Without it: all, each line after the replica's id."""


@routes.on(
    "GET",
    "/v1/services/{service}/logs",
    query=ServiceLogQuery,
    replies=TEXT,
    problems=(BusUnavailable, TooManyRequests),
)
async def service_logs(call: Call) -> web.StreamResponse:
    """Read the logs of a service's replicas, or of one. With `follow` the response ends when the service is deleted."""
    query = call.query(ServiceLogQuery)
    source = await call.use.logs.of_service(call.actor, call["service"], query.replica, since=query.since)
    return await _stream(call, source, query)


@routes.on(
    "GET", "/v1/validations/{validation}/logs", query=LogQuery, replies=TEXT, problems=(BusUnavailable, TooManyRequests)
)
async def validation_logs(call: Call) -> web.StreamResponse:
    """Read the log of a trial run. With `follow` it may be asked for before the run has a machine, and ends with the run."""
    source = await call.use.logs.of_validation(call.actor, call["validation"])
    return await _stream(call, source, call.query(LogQuery))


async def _stream(call: Call, source: LogSource, query: LogQuery) -> web.StreamResponse:
    """Stream log lines. An error before the first line is a problem answer; after it, a last line that says what is missing."""
    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8", "X-Accel-Buffering": "no"})

    async def write(line: str) -> None:
        if not response.prepared:
            await response.prepare(call.request)
        await response.write(f"{line}\n".encode(errors="replace"))

    if query.follow:
        call.use.logs.check()
        await response.prepare(call.request)
    tail = None if query.download or query.since else query.tail
    try:
        await call.use.logs.copy(source, write, tail=tail, since=query.since, follow=query.follow)
    except Problem as problem:
        if not response.prepared:
            raise
        await write(f"headrace: the log ends here: {problem.detail}")
    if not response.prepared:
        await response.prepare(call.request)
    await response.write_eof()
    return response
