"""Routes of a service's revisions."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.revisions import RevisionDetail, RevisionView
from headrace.common.contracts.manifest import FolderManifest
from headrace.common.contracts.problems import Unavailable
from headrace.manager.api.routing import MAX_REVISION, Call, Query, Reply, Routes, json_reply, revision_of

routes = Routes("services")


class RevisionsQuery(Query):
    """Query parameters of a list of revisions."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: Annotated[int, Field(ge=0, le=MAX_REVISION)] | None = None


@routes.on(
    "GET",
    "/v1/services/{service}/revisions",
    query=RevisionsQuery,
    replies={200: Reply("A page of revisions.", Page[RevisionView])},
)
async def list_revisions(call: Call) -> web.Response:
    """List the service's revisions, oldest first."""
    page = call.query(RevisionsQuery)
    found = await call.use.history.revisions(call.actor, call["service"], after=page.cursor or 0, limit=page.limit)
    return json_reply(found)


@routes.on("GET", "/v1/services/{service}/revisions/{revision}", replies={200: Reply("The revision.", RevisionDetail)})
async def show_revision(call: Call) -> web.Response:
    """Get a revision: the spec as it was given, and as its replicas are started with it."""
    return json_reply(await call.use.history.revision(call.actor, call["service"], revision_of(call)))


@routes.on(
    "GET",
    "/v1/services/{service}/revisions/{revision}/manifest",
    replies={200: Reply("The manifest.", FolderManifest)},
    problems=(Unavailable,),
)
async def revision_manifest(call: Call) -> web.Response:
    """Get the manifest of the files that the revision's replicas see as model folder, with size and SHA-256, sorted by path."""
    found = await call.use.history.manifest(call.actor, call["service"], revision_of(call))
    return web.Response(body=found, content_type="application/json")
