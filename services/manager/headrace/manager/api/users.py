"""Routes of users."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.users import CreateUser, UpdateUser, UserView
from headrace.common.contracts.problems import Conflict, Forbidden, NameTaken
from headrace.manager.api.routing import Call, Paging, Reply, Routes, json_reply

routes = Routes("projects")


@routes.on(
    "POST",
    "/v1/users",
    body=CreateUser,
    creates="/v1/users/{id}",
    replies={201: Reply("The user.", UserView)},
    problems=(Forbidden, NameTaken),
)
async def create_user(call: Call) -> web.Response:
    """Create a user (operators)."""
    return json_reply(await call.use.users.create(call.actor, call.body(CreateUser)), status=201)


@routes.on(
    "GET", "/v1/users", query=Paging, replies={200: Reply("A page of users.", Page[UserView])}, problems=(Forbidden,)
)
async def list_users(call: Call) -> web.Response:
    """List all users (operators)."""
    page = call.query(Paging)
    return json_reply(await call.use.users.page(call.actor, after=page.after, limit=page.limit))


@routes.on("GET", "/v1/users/{user}", replies={200: Reply("The user.", UserView)})
async def get_user(call: Call) -> web.Response:
    """Get a user, by name or id (operators: any; others: themselves)."""
    return json_reply(await call.use.users.get(call.actor, call["user"]))


@routes.on(
    "PATCH",
    "/v1/users/{user}",
    body=UpdateUser,
    replies={200: Reply("The user.", UserView)},
    problems=(Forbidden, Conflict),
    conditional=True,
)
async def update_user(call: Call) -> web.Response:
    """Change a user (operators). It applies from the user's next request on."""
    return json_reply(await call.use.users.update(call.actor, call["user"], call.body(UpdateUser)))
