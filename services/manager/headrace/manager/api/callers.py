"""Routes of the callers of a service or project."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from aiohttp import web
from pydantic import Field

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.usage import CallerUsage
from headrace.common.contracts.problems import Forbidden, NotFound
from headrace.manager.api.routing import Call, Paging, Reply, Routes, json_reply

routes = Routes("usage")


class CallersQuery(Paging):
    """Query parameters of callers."""

    window_s: Annotated[int, Field(ge=3600, le=62 * 86_400)] = 86_400
    """Seconds up to now in which requests, refusals and tokens are counted, by whole hours."""


@routes.on(
    "GET",
    "/v1/services/{service}/callers",
    query=CallersQuery,
    replies={200: Reply("A page of callers.", Page[CallerUsage])},
    problems=(Forbidden, NotFound),
)
async def list_callers(call: Call) -> web.Response:
    """List the tokens and clients that may call the service: what each used, was refused, has left, and when it called last."""
    asked = call.query(CallersQuery)
    found = await call.use.callers.page(
        call.actor, call["service"], window=timedelta(seconds=asked.window_s), after=asked.after, limit=asked.limit
    )
    return json_reply(found)


@routes.on(
    "GET",
    "/v1/projects/{project}/callers",
    query=CallersQuery,
    replies={200: Reply("A page of callers.", Page[CallerUsage])},
    problems=(Forbidden, NotFound),
)
async def list_project_callers(call: Call) -> web.Response:
    """List the tokens of the project (not those of its services), with what each used of all services, and has left."""
    asked = call.query(CallersQuery)
    found = await call.use.callers.page_of_project(
        call.actor, call["project"], window=timedelta(seconds=asked.window_s), after=asked.after, limit=asked.limit
    )
    return json_reply(found)
