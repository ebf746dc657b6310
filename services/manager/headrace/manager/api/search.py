"""Route of the search."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field, StringConstraints

from headrace.common.contracts.http.search import SearchResults
from headrace.common.contracts.vocabulary import FoundKind
from headrace.manager.api.routing import Call, Query, Reply, Routes, json_reply

routes = Routes("search")


class SearchQuery(Query):
    """Query parameters of a search."""

    q: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """Text in the name of a folder or user; in name or description of a project or service; in the tags of a service; in the
    name, resource group, host name or labels of a machine."""
    kind: FoundKind | None = None
    """Only things of this kind."""
    limit: Annotated[int, Field(ge=1, le=50)] = 10
    """Most items of each kind."""


@routes.on("GET", "/v1/search", query=SearchQuery, replies={200: Reply("What was found.", SearchResults)})
async def search(call: Call) -> web.Response:
    """Search services, folders, projects, machines and users that the caller may see.

    Machines are seen by operators; users by operators, and by the members of a project they are in.
    """
    query = call.query(SearchQuery)
    return json_reply(await call.use.search.find(call.actor, query.q, kind=query.kind, limit=query.limit))
