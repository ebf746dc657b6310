"""Routes of projects and their members."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.projects import (
    CreateProject,
    MemberView,
    ProjectView,
    PutMember,
    UpdateProject,
    Usage,
)
from headrace.common.contracts.problems import Conflict, Forbidden, InUse, NameTaken
from headrace.manager.api.routing import Call, Paging, Reply, Routes, json_reply, no_content

routes = Routes("projects")
GONE = {204: Reply("Deleted.")}


@routes.on(
    "POST",
    "/v1/projects",
    body=CreateProject,
    creates="/v1/projects/{id}",
    replies={201: Reply("The project.", ProjectView)},
    problems=(Forbidden, NameTaken),
)
async def create_project(call: Call) -> web.Response:
    """Create a project (operators). The caller becomes its owner."""
    project = await call.use.projects.create(call.actor, call.body(CreateProject))
    return json_reply(project, status=201)


@routes.on("GET", "/v1/projects", query=Paging, replies={200: Reply("A page of projects.", Page[ProjectView])})
async def list_projects(call: Call) -> web.Response:
    """List the caller's projects (operators: all)."""
    page = call.query(Paging)
    return json_reply(await call.use.projects.page(call.actor, after=page.after, limit=page.limit))


@routes.on("GET", "/v1/projects/{project}", replies={200: Reply("The project.", ProjectView)})
async def show_project(call: Call) -> web.Response:
    """Get a project."""
    return json_reply(await call.use.projects.show(call.actor, call["project"]))


@routes.on(
    "PATCH",
    "/v1/projects/{project}",
    body=UpdateProject,
    replies={200: Reply("The project.", ProjectView)},
    problems=(Forbidden,),
    conditional=True,
)
async def update_project(call: Call) -> web.Response:
    """Change a project's description (owners) and quota (operators). A lower quota stops nothing that runs."""
    return json_reply(await call.use.projects.update(call.actor, call["project"], call.body(UpdateProject)))


@routes.on("DELETE", "/v1/projects/{project}", replies=GONE, problems=(Forbidden, InUse), conditional=True)
async def delete_project(call: Call) -> web.Response:
    """Delete a project (owners). 409 `in-use` while it has services or folders."""
    await call.use.projects.delete(call.actor, call["project"])
    return no_content()


@routes.on("GET", "/v1/projects/{project}/usage", replies={200: Reply("Usage and limit of each slot.", Usage)})
async def show_usage(call: Call) -> web.Response:
    """Get the resources that the project's running services and folders use, which its quota limits."""
    return json_reply(await call.use.projects.usage(call.actor, call["project"]))


@routes.on(
    "GET", "/v1/projects/{project}/members", query=Paging, replies={200: Reply("A page of members.", Page[MemberView])}
)
async def list_members(call: Call) -> web.Response:
    """List the members of a project."""
    page = call.query(Paging)
    found = await call.use.projects.members(call.actor, call["project"], after=page.after, limit=page.limit)
    return json_reply(found)


@routes.on(
    "PUT",
    "/v1/projects/{project}/members/{user}",
    body=PutMember,
    replies={200: Reply("The member.", MemberView)},
    problems=(Forbidden, Conflict),
    conditional=True,
)
async def put_member(call: Call) -> web.Response:
    """Add a member to a project, or change a member's role (owners)."""
    body = call.body(PutMember)
    return json_reply(await call.use.projects.put_member(call.actor, call["project"], call["user"], body))


@routes.on(
    "DELETE",
    "/v1/projects/{project}/members/{user}",
    replies=GONE,
    problems=(Forbidden, Conflict),
    conditional=True,
)
async def remove_member(call: Call) -> web.Response:
    """Remove a member from a project (owners). A project keeps at least one owner."""
    await call.use.projects.remove_member(call.actor, call["project"], call["user"])
    return no_content()
