"""Routes of trial runs, logs and machines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal
from uuid import UUID

from aiohttp import web
from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from headrace.common.contracts.http.agents import AgentDetail, AgentView, UpdateAgent
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.services import StartValidation, ValidationView
from headrace.common.contracts.problems import (
    BusUnavailable,
    Conflict,
    Forbidden,
    InvalidDefinition,
    NotFound,
    Problem,
    QuotaExceeded,
    TooManyRequests,
)
from headrace.common.contracts.wording import Refused
from headrace.manager.api.routing import Call, Query, Reply, Routes, json_reply, no_content
from headrace.manager.usecases.logs import LogSource

routes = Routes("operation")
TEXT = {200: Reply("Lines `<UTC timestamp> <text>`, as they come.", media_type="text/plain")}


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise Refused(moment.isoformat(), "a time that is in the years 1 to 9999 also in UTC") from None


class LogQuery(Query):
    """How much of a log."""

    tail: Annotated[int, Field(ge=0, le=1_000_000)] = 2000
    """The last lines; with follow also those that come."""
    follow: bool = False
    download: Literal["all"] | None = None
    """All lines that are kept, whatever `tail` says."""
    since: Annotated[AwareDatetime, AfterValidator(_in_utc)] | None = None
    """Instead of `tail`: all lines that are kept from this time on, also of replicas that ended since."""


class ServiceLogQuery(LogQuery):
    """Whose log, and how much of it."""

    replica: UUID | None = None
    """One replica. Without it: all, each line after the replica's id."""


class AgentsQuery(Query):
    """Which machines."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: Annotated[str, StringConstraints(max_length=63)] | None = None


@routes.on(
    "GET",
    "/v1/services/{service}/logs",
    query=ServiceLogQuery,
    replies=TEXT,
    problems=(BusUnavailable, TooManyRequests),
)
async def service_logs(call: Call) -> web.StreamResponse:
    """Return the log of a replica or of all. Following ends when the service is gone or the caller leaves."""
    query = call.query(ServiceLogQuery)
    source = await call.use.logs.of_service(call.actor, call["service"], query.replica, since=query.since)
    return await _stream(call, source, query)


@routes.on(
    "POST", "/v1/validations", body=StartValidation, replies={201: Reply("The trial run.", ValidationView)},
    problems=(Forbidden, NotFound, Conflict, QuotaExceeded, InvalidDefinition),
)  # fmt: skip
async def start_validation(call: Call) -> web.Response:
    """Try a spec once without creating a service (members)."""
    run = await call.use.validations.start(call.actor, call.body(StartValidation))
    return json_reply(run, status=201, location=f"/v1/validations/{run.id}")


@routes.on("GET", "/v1/validations/{validation}", replies={200: Reply("The trial run.", ValidationView)})
async def show_validation(call: Call) -> web.Response:
    """Return how a trial run stands, and its verdict once it is done."""
    return json_reply(await call.use.validations.show(call.actor, call["validation"]))


@routes.on(
    "GET", "/v1/validations/{validation}/logs", query=LogQuery, replies=TEXT, problems=(BusUnavailable, TooManyRequests)
)
async def validation_logs(call: Call) -> web.StreamResponse:
    """Return the log of a trial run; following begins before it has a machine and ends with it."""
    source = await call.use.logs.of_validation(call.actor, call["validation"])
    return await _stream(call, source, call.query(LogQuery))


@routes.on("DELETE", "/v1/validations/{validation}", replies={204: Reply("It ends.")}, problems=(Forbidden,))
async def stop_validation(call: Call) -> web.Response:
    """End a trial run (members)."""
    await call.use.validations.stop(call.actor, call["validation"])
    return no_content()


@routes.on(
    "GET", "/v1/agents", query=AgentsQuery, replies={200: Reply("Machines.", Page[AgentView])}, problems=(Forbidden,)
)
async def list_agents(call: Call) -> web.Response:
    """Return the machines (operators)."""
    page = call.query(AgentsQuery)
    return json_reply(await call.use.fleet.page(call.actor, after=page.cursor or "", limit=page.limit))


@routes.on("GET", "/v1/agents/{agent}", replies={200: Reply("The machine.", AgentDetail)}, problems=(Forbidden,))
async def show_agent(call: Call) -> web.Response:
    """Return one machine with its GPUs and kernels (operators)."""
    return json_reply(await call.use.fleet.show(call.actor, call["agent"]))


@routes.on(
    "PATCH",
    "/v1/agents/{agent}",
    body=UpdateAgent,
    replies={200: Reply("The machine.", AgentDetail)},
    problems=(Forbidden,),
)
async def update_agent(call: Call) -> web.Response:
    """Say at which addresses a machine's replicas may be (operators)."""
    return json_reply(await call.use.fleet.update(call.actor, call["agent"], call.body(UpdateAgent)))


async def _stream(call: Call, source: LogSource, query: LogQuery) -> web.StreamResponse:
    """Stream lines. Until the first one a refusal is still an answer; later it is a last line that says what is missing."""
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
