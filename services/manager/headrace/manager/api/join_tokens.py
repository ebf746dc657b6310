"""Routes of join tokens, for operators."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.joining import CreateJoinToken, JoinTokenView, NewJoinToken
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import Conflict, Forbidden
from headrace.manager.api.routing import Call, Paging, Reply, Routes, json_reply, no_content

routes = Routes("operation")


@routes.on(
    "POST",
    "/v1/join-tokens",
    body=CreateJoinToken,
    creates="/v1/join-tokens/{id}",
    replies={201: Reply("The token, which is shown once.", NewJoinToken)},
    problems=(Forbidden, Conflict),
)
async def create_join_token(call: Call) -> web.Response:
    """Create a token with which machines, app-proxies or autoscalers join (operators). It is in this response only."""
    token = await call.use.join_tokens.create(call.actor, call.body(CreateJoinToken))
    return json_reply(token, status=201)


@routes.on(
    "GET",
    "/v1/join-tokens",
    query=Paging,
    replies={200: Reply("A page of join tokens.", Page[JoinTokenView])},
    problems=(Forbidden,),
)
async def list_join_tokens(call: Call) -> web.Response:
    """List join tokens without their secrets (operators); those that are over for 30 days more."""
    page = call.query(Paging)
    return json_reply(await call.use.join_tokens.page(call.actor, after=page.after, limit=page.limit))


@routes.on("DELETE", "/v1/join-tokens/{join_token}", replies={204: Reply("It is revoked.")}, problems=(Forbidden,))
async def revoke_join_token(call: Call) -> web.Response:
    """Revoke a join token (operators); machines that have joined with it stay."""
    await call.use.join_tokens.revoke(call.actor, call["join_token"])
    return no_content()
