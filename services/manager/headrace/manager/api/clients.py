"""Routes of a service's named clients."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.clients import ClientView, CreateClient, NewClient
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.tokens import UpdateCaller
from headrace.common.contracts.problems import Conflict, Forbidden, NameTaken
from headrace.manager.api.routing import Call, Paging, Reply, Routes, json_reply
from headrace.manager.api.tokens import REVOKED

routes = Routes("clients")
ALL = "/v1/services/{service}/clients"
ONE = f"{ALL}/{{client}}"


@routes.on(
    "POST",
    ALL,
    body=CreateClient,
    creates=f"{ALL}/{{id}}",
    replies={201: Reply("The client, with its secret, which is shown once.", NewClient)},
    problems=(Forbidden, NameTaken, Conflict),
)
async def create_client(call: Call) -> web.Response:
    """Create a named client, which calls with basic auth (members). The secret is in this response only."""
    client = await call.use.clients.create(call.actor, call["service"], call.body(CreateClient))
    return json_reply(client, status=201)


@routes.on("GET", ALL, query=Paging, replies={200: Reply("A page of clients.", Page[ClientView])})
async def list_clients(call: Call) -> web.Response:
    """List the service's named clients, without their secrets."""
    page = call.query(Paging)
    found = await call.use.clients.page(call.actor, call["service"], after=page.after, limit=page.limit)
    return json_reply(found)


@routes.on(
    "PATCH",
    ONE,
    body=UpdateCaller,
    replies={200: Reply("The client.", ClientView)},
    problems=(Forbidden,),
    conditional=True,
)
async def update_client(call: Call) -> web.Response:
    """Change a client's rate limits and share of the queue (members). App-proxies apply it within a second."""
    body = call.body(UpdateCaller)
    return json_reply(await call.use.clients.update(call.actor, call["service"], call["client"], body))


@routes.on(
    "POST",
    f"{ONE}/rotate",
    replies={200: Reply("The client, with its new secret, which is shown once.", NewClient)},
    problems=(Forbidden,),
    conditional=True,
)
async def rotate_client(call: Call) -> web.Response:
    """Rotate a client's secret (members). App-proxies refuse the old one within a second; the response says which do already."""
    return json_reply(await call.use.clients.rotate(call.actor, call["service"], call["client"]))


@routes.on("DELETE", ONE, replies=REVOKED, problems=(Forbidden,), conditional=True)
async def revoke_client(call: Call) -> web.Response:
    """Delete a client (members). App-proxies refuse it within a second; the response says which do already."""
    return json_reply(await call.use.clients.revoke(call.actor, call["service"], call["client"]))
