"""Routes of agents: the machines, for operators."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field, StringConstraints

from headrace.common.contracts.http.agent_drains import AgentDrainView, StartDrain
from headrace.common.contracts.http.agents import (
    AgentDetail,
    AgentView,
    ChangeLabels,
    CordonAgent,
    OperatorReason,
    UpdateAgent,
)
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import Conflict, Forbidden, InUse
from headrace.manager.api.routing import Call, Query, Reply, Routes, json_reply, no_content

routes = Routes("operation")


class AgentsQuery(Query):
    """Query parameters of machines."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: Annotated[str, StringConstraints(max_length=63)] | None = None
    label: Annotated[str, StringConstraints(min_length=1, max_length=1000)] | None = None
    """Only machines with these labels: `KEY=VALUE` or `KEY`, with commas between them."""


class RemoveQuery(Query):
    """Query parameters of a removal."""

    force: bool = False
    """Although something ran there when it fell silent: it is replaced at once."""
    reason: OperatorReason = ""
    """Why, for its agent's log and the history."""


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
    found = await call.use.agents.page(call.actor, after=page.cursor or "", limit=page.limit, label=page.label)
    return json_reply(found)


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
    conditional=True,
)
async def update_agent(call: Call) -> web.Response:
    """Set a machine's resource group, and the addresses that its replicas may have (operators).

    A reported address that is not among them gets no traffic, and the machine no replicas (`address-not-allowed`).
    """
    return json_reply(await call.use.agents.update(call.actor, call["agent"], call.body(UpdateAgent)))


@routes.on(
    "PUT",
    "/v1/agents/{agent}/cordon",
    body=CordonAgent,
    replies={200: Reply("The machine.", AgentDetail)},
    problems=(Forbidden,),
    conditional=True,
)
async def cordon_agent(call: Call) -> web.Response:
    """Place nothing new on a machine; what runs there goes on (operators). Repeating it replaces name and reason."""
    return json_reply(await call.use.agents.cordon(call.actor, call["agent"], call.body(CordonAgent)))


@routes.on(
    "DELETE",
    "/v1/agents/{agent}/cordon",
    replies={200: Reply("The machine.", AgentDetail)},
    problems=(Forbidden,),
    conditional=True,
)
async def uncordon_agent(call: Call) -> web.Response:
    """Place sessions on a machine again, and cancel its drain (operators)."""
    return json_reply(await call.use.agents.uncordon(call.actor, call["agent"]))


@routes.on(
    "PATCH",
    "/v1/agents/{agent}/labels",
    body=ChangeLabels,
    replies={200: Reply("The machine.", AgentDetail)},
    problems=(Forbidden, Conflict),
    conditional=True,
)
async def label_agent(call: Call) -> web.Response:
    """Set and take away labels of a machine (operators), 64 at most."""
    return json_reply(await call.use.agents.label(call.actor, call["agent"], call.body(ChangeLabels)))


@routes.on(
    "DELETE",
    "/v1/agents/{agent}",
    query=RemoveQuery,
    replies={204: Reply("It is removed.")},
    problems=(Forbidden, InUse),
    conditional=True,
)
async def remove_agent(call: Call) -> web.Response:
    """Remove a machine (operators): its reports are refused, and should it come back, it stops what it runs.

    Refused while something runs there; with `force` only while its agent reports.
    """
    query = call.query(RemoveQuery)
    await call.use.agents.remove(call.actor, call["agent"], force=query.force, reason=query.reason)
    return no_content()


@routes.on(
    "POST",
    "/v1/agents/{agent}/drain",
    body=StartDrain,
    replies={200: Reply("The drain.", AgentDrainView)},
    problems=(Forbidden,),
    conditional=True,
)
async def drain_agent(call: Call) -> web.Response:
    """Cordon a machine and move its replicas elsewhere, one service after the other (operators).

    Each within the rules of its rollouts: another replica starts, serves, and then one here drains. A drain that is under way goes
    on. It is cancelled by ending the cordon.
    """
    return json_reply(await call.use.agent_drains.start(call.actor, call["agent"], call.body(StartDrain)))


@routes.on("GET", "/v1/agents/{agent}/drain", replies={200: Reply("The drain.", AgentDrainView)}, problems=(Forbidden,))
async def show_agent_drain(call: Call) -> web.Response:
    """Return a machine's newest drain: what is still there and why, and what it cost callers (operators); kept for 90 days."""
    return json_reply(await call.use.agent_drains.show(call.actor, call["agent"]))
