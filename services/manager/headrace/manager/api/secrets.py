"""Routes of a project's secrets."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.secrets import PutSecret, SecretDetail, SecretView
from headrace.common.contracts.problems import Conflict, Forbidden, InUse
from headrace.manager.api.routing import Call, Paging, Reply, Routes, json_reply, no_content

routes = Routes("secrets")
ALL = "/v1/projects/{project}/secrets"
ONE = f"{ALL}/{{secret}}"


@routes.on("GET", ALL, query=Paging, replies={200: Reply("A page of secrets.", Page[SecretView])})
async def list_secrets(call: Call) -> web.Response:
    """List the project's secrets: names and dates, never values."""
    page = call.query(Paging)
    return json_reply(await call.use.secrets.page(call.actor, call["project"], after=page.after, limit=page.limit))


@routes.on("GET", ONE, replies={200: Reply("The secret.", SecretDetail)})
async def show_secret(call: Call) -> web.Response:
    """Get a secret, by name or id: its versions, and which services use each; never its value."""
    return json_reply(await call.use.secrets.show(call.actor, call["project"], call["secret"]))


@routes.on(
    "PUT",
    ONE,
    body=PutSecret,
    replies={
        200: Reply("The secret, with its new version; or as it was, with this value already.", SecretView),
        201: Reply("The new secret.", SecretView),
    },
    problems=(Forbidden, Conflict),
    conditional=True,
)
async def put_secret(call: Call) -> web.Response:
    """Store a secret, or a new version of one (owners). Services go on with the version that they have; `refresh_secrets` of a
    service rolls the newest one out.
    """
    body = call.body(PutSecret)
    stored, is_new = await call.use.secrets.put(call.actor, call["project"], call["secret"], body)
    return json_reply(stored, status=201 if is_new else 200)


@routes.on("DELETE", ONE, replies={204: Reply("Deleted.")}, problems=(Forbidden, InUse), conditional=True)
async def delete_secret(call: Call) -> web.Response:
    """Delete a secret with all its versions (owners). 409 `in-use` with the services that use it."""
    await call.use.secrets.delete(call.actor, call["project"], call["secret"])
    return no_content()
