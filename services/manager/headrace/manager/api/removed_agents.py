"""Routes of removed agents: machines whose reports are refused, for operators."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field, StringConstraints

from headrace.common.contracts.http.agents import RemovedAgent
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import Forbidden
from headrace.manager.api.routing import Call, Query, Reply, Routes, json_reply, no_content

routes = Routes("operation")


class RemovedQuery(Query):
    """Query parameters of removed machines."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: Annotated[str, StringConstraints(max_length=63)] | None = None


@routes.on(
    "GET",
    "/v1/removed-agents",
    query=RemovedQuery,
    replies={200: Reply("Machines.", Page[RemovedAgent])},
    problems=(Forbidden,),
)
async def list_removed_agents(call: Call) -> web.Response:
    """Return the machines that were removed, and whether they still report (operators); the newest 10,000 are kept."""
    page = call.query(RemovedQuery)
    return json_reply(await call.use.agents.removed(call.actor, after=page.cursor or "", limit=page.limit))


@routes.on("DELETE", "/v1/removed-agents/{agent}", replies={204: Reply("It may report.")}, problems=(Forbidden,))
async def admit_agent(call: Call) -> web.Response:
    """Accept reports of a removed machine again (operators): it is a new machine then."""
    await call.use.agents.admit(call.actor, call["agent"])
    return no_content()
