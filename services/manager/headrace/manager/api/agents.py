"""Routes of agents: the machines, for operators."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field, StringConstraints

from headrace.common.contracts.http.agents import AgentDetail, AgentView, UpdateAgent
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import Forbidden
from headrace.manager.api.routing import Call, Query, Reply, Routes, json_reply

routes = Routes("operation")


class AgentsQuery(Query):
    """Query parameters of machines."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: Annotated[str, StringConstraints(max_length=63)] | None = None


@routes.on(
    "GET",
    "/v1/agents",
    query=AgentsQuery,
    replies={200: Reply("A page of machines.", Page[AgentView])},
    problems=(Forbidden,),
)
async def list_agents(call: Call) -> web.Response:
    """List the machines (operators)."""
    page = call.query(AgentsQuery)
    return json_reply(await call.use.agents.page(call.actor, after=page.cursor or "", limit=page.limit))


@routes.on("GET", "/v1/agents/{agent}", replies={200: Reply("The machine.", AgentDetail)}, problems=(Forbidden,))
async def show_agent(call: Call) -> web.Response:
    """Get a machine with its GPUs and kernels (operators)."""
    return json_reply(await call.use.agents.show(call.actor, call["agent"]))


@routes.on(
    "PATCH",
    "/v1/agents/{agent}",
    body=UpdateAgent,
    replies={200: Reply("The machine.", AgentDetail)},
    problems=(Forbidden,),
)
async def update_agent(call: Call) -> web.Response:
    """Set the addresses that a machine's replicas may have (operators).

    A reported address that is not among them gets no traffic, and the machine no replicas (`address-not-allowed`).
    """
    return json_reply(await call.use.agents.update(call.actor, call["agent"], call.body(UpdateAgent)))
