"""Routes of the model store: folders with both definition files."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import StringConstraints

from headrace.common.contracts.http.models import ModelDetail, ModelView
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.ids import Slug
from headrace.common.contracts.problems import NotFound
from headrace.manager.api.routing import Call, Paging, Query, Reference, Reply, Routes, json_reply

routes = Routes("models")
_Text = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class ModelQuery(Query):
    """Query parameters of a model."""

    project: Reference | None = None
    """Name or id, needed when several of the caller's projects have a folder of this name."""
    resource_group: Slug | None = None
    """Machines by which `fit` is judged; default: those that a service of the model's project gets."""


class ModelsQuery(Paging):
    """Query parameters of a list of models."""

    project: Reference | None = None
    q: _Text | None = None
    """Part of the folder's name, or of a model's name or metadata."""
    task: _Text | None = None
    """Task of one of its models, in whole; upper and lower case are the same."""
    resource_group: Slug | None = None
    """Machines by which `fit` is judged; default: those that a service of the model's project gets."""


@routes.on(
    "GET",
    "/v1/models",
    query=ModelsQuery,
    replies={200: Reply("A page of models.", Page[ModelView])},
    problems=(NotFound,),
)
async def list_models(call: Call) -> web.Response:
    """List the model store: the caller's model folders with both definition files. A changed file shows within seconds."""
    query = call.query(ModelsQuery)
    found = await call.use.model_store.page(
        call.actor,
        project=query.project,
        text=query.q,
        task=query.task,
        resource_group=query.resource_group,
        after=query.after,
        limit=query.limit,
    )
    return json_reply(found)


@routes.on("GET", "/v1/models/{model}", query=ModelQuery, replies={200: Reply("The model.", ModelDetail)})
async def show_model(call: Call) -> web.Response:
    """Get a folder of the model store, by its name or id, as its files are now; 404 where it lacks a definition file."""
    query = call.query(ModelQuery)
    found = await call.use.model_store.show(call.actor, call["model"], query.project, query.resource_group)
    return json_reply(found)
