"""Routes of API keys of users."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.keys import CreateKey, KeyView, NewKey, UpdateKey
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import Conflict
from headrace.manager.api.routing import Call, Paging, Reply, Routes, json_reply, no_content

routes = Routes("projects")
GONE = {204: Reply("Deleted.")}


@routes.on(
    "POST",
    "/v1/users/{user}/keys",
    body=CreateKey,
    creates="/v1/users/{user}/keys/{id}",
    replies={201: Reply("The key, which is shown once.", NewKey)},
)
async def create_key(call: Call) -> web.Response:
    """Create an API key (operators: for any user; others: for themselves). It is in this response only."""
    key = await call.use.users.create_key(call.actor, call["user"], call.body(CreateKey))
    return json_reply(key, status=201)


@routes.on("GET", "/v1/users/{user}/keys", query=Paging, replies={200: Reply("A page of keys.", Page[KeyView])})
async def list_keys(call: Call) -> web.Response:
    """List a user's API keys, without their secrets."""
    page = call.query(Paging)
    found = await call.use.users.keys(call.actor, call["user"], after=page.after, limit=page.limit)
    return json_reply(found)


@routes.on(
    "PATCH",
    "/v1/users/{user}/keys/{key_id}",
    body=UpdateKey,
    replies={200: Reply("The key.", KeyView)},
    problems=(Conflict,),
    conditional=True,
)
async def update_key(call: Call) -> web.Response:
    """Change an API key's name and expiry (operators: of any user; others: their own)."""
    return json_reply(await call.use.users.update_key(call.actor, call["user"], call["key_id"], call.body(UpdateKey)))


@routes.on("DELETE", "/v1/users/{user}/keys/{key_id}", replies=GONE, conditional=True)
async def delete_key(call: Call) -> web.Response:
    """Delete an API key. It is refused from the next request on."""
    await call.use.users.delete_key(call.actor, call["user"], call["key_id"])
    return no_content()
