"""Routes of tokens: those of one service, and those of all services of a project."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.revocations import RevocationView
from headrace.common.contracts.http.tokens import CreateToken, NewToken, TokenView, UpdateToken
from headrace.common.contracts.problems import Conflict, Forbidden
from headrace.manager.api.routing import Call, Paging, Reply, Routes, json_reply
from headrace.manager.usecases.tokens import TokenScope

routes = Routes("tokens")
OF_SERVICE = "/v1/services/{service}/tokens"
OF_PROJECT = "/v1/projects/{project}/tokens"
NEW = {201: Reply("The token, which is shown once.", NewToken)}
MANY = {200: Reply("A page of tokens.", Page[TokenView])}
ONE = {200: Reply("The token.", TokenView)}
REVOKED = {200: Reply("It is revoked; the app-proxies that refuse it already.", RevocationView)}


@routes.on(
    "POST",
    OF_SERVICE,
    body=CreateToken,
    creates=f"{OF_SERVICE}/{{id}}",
    replies=NEW,
    problems=(Forbidden, Conflict),
)
async def create_token(call: Call) -> web.Response:
    """Create a token for callers of the service (members). It is in this response only."""
    return await _create(call, "service")


@routes.on("GET", OF_SERVICE, query=Paging, replies=MANY)
async def list_tokens(call: Call) -> web.Response:
    """List the service's tokens, without their secrets."""
    return await _list(call, "service")


@routes.on(
    "PATCH",
    f"{OF_SERVICE}/{{token_id}}",
    body=UpdateToken,
    replies=ONE,
    problems=(Forbidden, Conflict),
    conditional=True,
)
async def update_token(call: Call) -> web.Response:
    """Change a token's name, rate limits and share of the queue (members). App-proxies apply it within a second."""
    return await _update(call, "service")


@routes.on("DELETE", f"{OF_SERVICE}/{{token_id}}", replies=REVOKED, problems=(Forbidden,), conditional=True)
async def revoke_token(call: Call) -> web.Response:
    """Revoke a token (members). App-proxies refuse it and end its open requests within a second.

    The response says which app-proxies do already.
    """
    return await _revoke(call, "service")


@routes.on(
    "POST",
    OF_PROJECT,
    body=CreateToken,
    creates=f"{OF_PROJECT}/{{id}}",
    replies=NEW,
    problems=(Forbidden, Conflict),
)
async def create_project_token(call: Call) -> web.Response:
    """Create a token for all services of the project, later ones too (members). It is in this response only."""
    return await _create(call, "project")


@routes.on("GET", OF_PROJECT, query=Paging, replies=MANY)
async def list_project_tokens(call: Call) -> web.Response:
    """List the project's tokens (not those of its services), without their secrets."""
    return await _list(call, "project")


@routes.on(
    "PATCH",
    f"{OF_PROJECT}/{{token_id}}",
    body=UpdateToken,
    replies=ONE,
    problems=(Forbidden, Conflict),
    conditional=True,
)
async def update_project_token(call: Call) -> web.Response:
    """Change a project token's name, rate limits (counted over all services of the project) and share of the queue (members)."""
    return await _update(call, "project")


@routes.on("DELETE", f"{OF_PROJECT}/{{token_id}}", replies=REVOKED, problems=(Forbidden,), conditional=True)
async def revoke_project_token(call: Call) -> web.Response:
    """Revoke a project token (members). App-proxies refuse it and end its open requests within a second.

    The response says which app-proxies do already.
    """
    return await _revoke(call, "project")


async def _create(call: Call, scope: TokenScope) -> web.Response:
    token = await call.use.tokens.create(call.actor, scope, call[scope], call.body(CreateToken))
    return json_reply(token, status=201)


async def _list(call: Call, scope: TokenScope) -> web.Response:
    page = call.query(Paging)
    found = await call.use.tokens.page(call.actor, scope, call[scope], after=page.after, limit=page.limit)
    return json_reply(found)


async def _update(call: Call, scope: TokenScope) -> web.Response:
    body = call.body(UpdateToken)
    return json_reply(await call.use.tokens.update(call.actor, scope, call[scope], call["token_id"], body))


async def _revoke(call: Call, scope: TokenScope) -> web.Response:
    return json_reply(await call.use.tokens.revoke(call.actor, scope, call[scope], call["token_id"]))
