"""Routes of resource presets."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.resource_presets import (
    CreateResourcePreset,
    ResourcePresetView,
    UpdateResourcePreset,
)
from headrace.common.contracts.problems import Conflict, Forbidden, NameTaken, NotFound
from headrace.manager.api.routing import Call, Paging, Query, Reference, Reply, Routes, json_reply, no_content

routes = Routes("resource-presets")
ALL = "/v1/resource-presets"
ONE = f"{ALL}/{{preset}}"


class PresetQuery(Query):
    """Query parameters of a resource preset: among which ones its name is looked for."""

    project: Reference | None = None
    """Name or id of the project whose own it is; without it: those for all projects. An id needs none."""


class PresetsQuery(Paging):
    """Query parameters of a list of resource presets."""

    project: Reference | None = None
    """Those that services of this project may name: its own, and those for all projects. Without it: those for all."""


@routes.on(
    "POST",
    ALL,
    body=CreateResourcePreset,
    creates=f"{ALL}/{{id}}",
    replies={201: Reply("The resource preset.", ResourcePresetView)},
    problems=(Forbidden, NameTaken, NotFound, Conflict),
)
async def create_resource_preset(call: Call) -> web.Response:
    """Create a resource preset: for all projects (operators), or of one project (owners)."""
    made = await call.use.resource_presets.create(call.actor, call.body(CreateResourcePreset))
    return json_reply(made, status=201)


@routes.on(
    "GET",
    ALL,
    query=PresetsQuery,
    replies={200: Reply("A page of resource presets.", Page[ResourcePresetView])},
    problems=(NotFound,),
)
async def list_resource_presets(call: Call) -> web.Response:
    """List resource presets, the sizes that services may name."""
    query = call.query(PresetsQuery)
    found = await call.use.resource_presets.page(
        call.actor, project=query.project, after=query.after, limit=query.limit
    )
    return json_reply(found)


@routes.on("GET", ONE, query=PresetQuery, replies={200: Reply("The resource preset.", ResourcePresetView)})
async def show_resource_preset(call: Call) -> web.Response:
    """Get a resource preset, by name or id."""
    found = await call.use.resource_presets.show(call.actor, call["preset"], call.query(PresetQuery).project)
    return json_reply(found)


@routes.on(
    "PATCH",
    ONE,
    query=PresetQuery,
    body=UpdateResourcePreset,
    replies={200: Reply("The resource preset.", ResourcePresetView)},
    problems=(Forbidden,),
    conditional=True,
)
async def update_resource_preset(call: Call) -> web.Response:
    """Change a resource preset (operators, or owners of its project). No revision changes; the next one that names it has the new
    amounts.
    """
    project, change = call.query(PresetQuery).project, call.body(UpdateResourcePreset)
    return json_reply(await call.use.resource_presets.update(call.actor, call["preset"], project, change))


@routes.on("DELETE", ONE, query=PresetQuery, replies={204: Reply("Deleted.")}, problems=(Forbidden,), conditional=True)
async def delete_resource_preset(call: Call) -> web.Response:
    """Delete a resource preset (operators, or owners of its project). No revision changes; the next one of a service that named it
    has to name another size, or slots.
    """
    await call.use.resource_presets.delete(call.actor, call["preset"], call.query(PresetQuery).project)
    return no_content()
