"""Routes of projects, members, users and API keys."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.projects import (
    CreateKey,
    CreateProject,
    CreateUser,
    KeyView,
    MemberView,
    NewKey,
    ProjectView,
    PutMember,
    UpdateKey,
    UpdateProject,
    UpdateUser,
    UserView,
    WhoAmI,
)
from headrace.common.contracts.http.services import Usage
from headrace.common.contracts.problems import Conflict, Forbidden, InUse, NameTaken
from headrace.manager.api.routing import Call, Paging, Reply, Routes, json_reply, no_content
from headrace.manager.store.rows import FIRST

routes = Routes("projects")
GONE = {204: Reply("Done.")}


@routes.on("GET", "/v1/whoami", replies={200: Reply("The caller.", WhoAmI)})
async def whoami(call: Call) -> web.Response:
    """Return who the caller is, and the role in each of the caller's projects."""
    return json_reply(await call.use.projects.whoami(call.actor))


@routes.on(
    "POST", "/v1/projects", body=CreateProject, replies={201: Reply("The project.", ProjectView)},
    problems=(Forbidden, NameTaken),
)  # fmt: skip
async def create_project(call: Call) -> web.Response:
    """Create a project (operators). The caller becomes its owner."""
    project = await call.use.projects.create(call.actor, call.body(CreateProject))
    return json_reply(project, status=201, location=f"/v1/projects/{project.id}")


@routes.on("GET", "/v1/projects", query=Paging, replies={200: Reply("Projects.", Page[ProjectView])})
async def list_projects(call: Call) -> web.Response:
    """Return the caller's projects (operators: all)."""
    page = call.query(Paging)
    return json_reply(await call.use.projects.page(call.actor, after=page.cursor or FIRST, limit=page.limit))


@routes.on("GET", "/v1/projects/{project}", replies={200: Reply("The project.", ProjectView)})
async def show_project(call: Call) -> web.Response:
    """Return one project."""
    return json_reply(await call.use.projects.show(call.actor, call["project"]))


@routes.on(
    "PATCH", "/v1/projects/{project}", body=UpdateProject, replies={200: Reply("The project.", ProjectView)},
    problems=(Forbidden,),
)  # fmt: skip
async def update_project(call: Call) -> web.Response:
    """Change a project's description (owners) and quota (operators); a quota holds for what is asked for from then on."""
    return json_reply(await call.use.projects.update(call.actor, call["project"], call.body(UpdateProject)))


@routes.on("DELETE", "/v1/projects/{project}", replies=GONE, problems=(Forbidden, InUse))
async def delete_project(call: Call) -> web.Response:
    """Delete a project (owners) that has no services and folders any more."""
    await call.use.projects.delete(call.actor, call["project"])
    return no_content()


@routes.on("GET", "/v1/projects/{project}/usage", replies={200: Reply("Amounts by slot.", Usage)})
async def show_usage(call: Call) -> web.Response:
    """Return what the running services of a project want together; its quota is compared with this."""
    return json_reply(await call.use.projects.usage(call.actor, call["project"]))


@routes.on("GET", "/v1/projects/{project}/members", query=Paging, replies={200: Reply("Members.", Page[MemberView])})
async def list_members(call: Call) -> web.Response:
    """Return the members of a project."""
    page = call.query(Paging)
    found = await call.use.projects.members(call.actor, call["project"], after=page.cursor or FIRST, limit=page.limit)
    return json_reply(found)


@routes.on(
    "PUT", "/v1/projects/{project}/members/{user}", body=PutMember, replies={200: Reply("The member.", MemberView)},
    problems=(Forbidden, Conflict),
)  # fmt: skip
async def put_member(call: Call) -> web.Response:
    """Give a user a role in a project (owners)."""
    body = call.body(PutMember)
    return json_reply(await call.use.projects.put_member(call.actor, call["project"], call["user"], body))


@routes.on("DELETE", "/v1/projects/{project}/members/{user}", replies=GONE, problems=(Forbidden, Conflict))
async def remove_member(call: Call) -> web.Response:
    """Take a user's role in a project (owners)."""
    await call.use.projects.remove_member(call.actor, call["project"], call["user"])
    return no_content()


@routes.on(
    "POST", "/v1/users", body=CreateUser, replies={201: Reply("The user.", UserView)}, problems=(Forbidden, NameTaken)
)
async def create_user(call: Call) -> web.Response:
    """Create a user (operators)."""
    return json_reply(await call.use.users.create(call.actor, call.body(CreateUser)), status=201)


@routes.on("GET", "/v1/users", query=Paging, replies={200: Reply("Users.", Page[UserView])}, problems=(Forbidden,))
async def list_users(call: Call) -> web.Response:
    """Return all users (operators)."""
    page = call.query(Paging)
    return json_reply(await call.use.users.page(call.actor, after=page.cursor or FIRST, limit=page.limit))


@routes.on(
    "PATCH", "/v1/users/{user}", body=UpdateUser, replies={200: Reply("The user.", UserView)},
    problems=(Forbidden, Conflict),
)  # fmt: skip
async def update_user(call: Call) -> web.Response:
    """Change a user (operators); it holds from the next request on."""
    return json_reply(await call.use.users.update(call.actor, call["user"], call.body(UpdateUser)))


@routes.on("POST", "/v1/users/{user}/keys", body=CreateKey, replies={201: Reply("The key, shown once.", NewKey)})
async def create_key(call: Call) -> web.Response:
    """Make an API key (operators: for anybody; others: for themselves). It is shown in this answer only."""
    key = await call.use.users.create_key(call.actor, call["user"], call.body(CreateKey))
    return json_reply(key, status=201)


@routes.on("GET", "/v1/users/{user}/keys", query=Paging, replies={200: Reply("Keys.", Page[KeyView])})
async def list_keys(call: Call) -> web.Response:
    """Return a user's API keys without their secrets."""
    page = call.query(Paging)
    found = await call.use.users.keys(call.actor, call["user"], after=page.cursor or FIRST, limit=page.limit)
    return json_reply(found)


@routes.on(
    "PATCH", "/v1/users/{user}/keys/{key_id}", body=UpdateKey, replies={200: Reply("The key.", KeyView)},
    problems=(Conflict,),
)  # fmt: skip
async def update_key(call: Call) -> web.Response:
    """Change an API key's name and end (operators: anybody's; others: their own)."""
    return json_reply(await call.use.users.update_key(call.actor, call["user"], call["key_id"], call.body(UpdateKey)))


@routes.on("DELETE", "/v1/users/{user}/keys/{key_id}", replies=GONE)
async def delete_key(call: Call) -> web.Response:
    """Delete an API key; it is refused from the next request on."""
    await call.use.users.delete_key(call.actor, call["user"], call["key_id"])
    return no_content()
