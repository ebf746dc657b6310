"""Routes of resource groups."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field, StringConstraints

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.resource_groups import (
    CreateResourceGroup,
    ResourceGroupView,
    UpdateResourceGroup,
)
from headrace.common.contracts.problems import Conflict, Forbidden, InUse, NameTaken, NotFound
from headrace.manager.api.routing import Call, Query, Reply, Routes, json_reply, no_content

routes = Routes("resource-groups")
ALL = "/v1/resource-groups"


class GroupsQuery(Query):
    """Query parameters of a list of resource groups."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: Annotated[str, StringConstraints(max_length=63)] | None = None


@routes.on("GET", ALL, query=GroupsQuery, replies={200: Reply("A page of groups.", Page[ResourceGroupView])})
async def list_resource_groups(call: Call) -> web.Response:
    """List the resource groups, by name: sets of machines that services name."""
    page = call.query(GroupsQuery)
    return json_reply(await call.use.resource_groups.page(call.actor, after=page.cursor or "", limit=page.limit))


@routes.on(
    "POST",
    ALL,
    body=CreateResourceGroup,
    creates=f"{ALL}/{{name}}",
    replies={201: Reply("The resource group.", ResourceGroupView)},
    problems=(Forbidden, NameTaken, NotFound, Conflict),
)
async def create_resource_group(call: Call) -> web.Response:
    """Create a resource group (operators). Machines join it with a join token that names it."""
    made = await call.use.resource_groups.create(call.actor, call.body(CreateResourceGroup))
    return json_reply(made, status=201)


@routes.on(
    "PATCH",
    f"{ALL}/{{group}}",
    body=UpdateResourceGroup,
    replies={200: Reply("The resource group.", ResourceGroupView)},
    problems=(Forbidden,),
    conditional=True,
)
async def update_resource_group(call: Call) -> web.Response:
    """Set the projects that may use a resource group (operators).

    What runs there goes on; replicas of other projects that start later wait (`group-not-allowed`).
    """
    found = await call.use.resource_groups.update(call.actor, call["group"], call.body(UpdateResourceGroup))
    return json_reply(found)


@routes.on(
    "DELETE",
    f"{ALL}/{{group}}",
    replies={204: Reply("Deleted.")},
    problems=(Forbidden, InUse, Conflict),
    conditional=True,
)
async def delete_resource_group(call: Call) -> web.Response:
    """Delete a resource group (operators). 409 `in-use` while machines or services are in it."""
    await call.use.resource_groups.delete(call.actor, call["group"])
    return no_content()
