"""Routes of services: lists and counts."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field, StringConstraints

from headrace.common.contracts.http.service_lists import ServiceCounts, ServicePage
from headrace.common.contracts.ids import AgentId, FolderReference, Slug
from headrace.common.contracts.problems import NotFound
from headrace.common.contracts.vocabulary import RuntimeVariant, ServicePhase, ServiceSort, ServiceStatus, SortOrder
from headrace.manager.api.routing import Call, Query, Reference, Reply, Routes, json_reply
from headrace.manager.domain.access import Actor
from headrace.manager.domain.list_cursor import MAX_CURSOR_CHARS
from headrace.manager.domain.records.service_lists import ServiceFilter, ServiceOrder
from headrace.manager.usecases.service_lists import Asked

routes = Routes("services")


class ServiceFilterQuery(Query):
    """Query parameters that choose services; all that are given must hold."""

    project: Reference | None = None
    status: ServiceStatus | None = None
    phase: ServicePhase | None = None
    owner: Reference | None = None
    """Name or id of the user who created it."""
    q: Annotated[str, StringConstraints(min_length=1, max_length=200)] | None = None
    """Text in name, description, tags or metadata, its own or the model's."""
    mine: bool = False
    """Only those that the caller created."""
    tag: Slug | None = None
    runtime: RuntimeVariant | None = None
    folder: FolderReference | None = None
    """Name or id of a folder that the current revision mounts; `<project>/<name>` of one that is shared."""
    agent: AgentId | None = None
    """Machine on which a live replica is."""

    def asked(self, actor: Actor) -> Asked:
        """Return the filters of the caller."""
        chosen = ServiceFilter(
            owner=str(actor.user_id) if self.mine else self.owner,
            text=self.q,
            tag=self.tag,
            runtime=self.runtime,
            agent=self.agent,
            phase=self.phase,
        )
        return Asked(chosen, project=self.project, folder=self.folder, status=self.status)


class ServicesQuery(ServiceFilterQuery):
    """Query parameters of a list of services."""

    sort: ServiceSort = "created"
    order: SortOrder = "asc"
    limit: Annotated[int, Field(ge=1, le=500)] = 100
    """Most items to return."""
    cursor: Annotated[str, StringConstraints(min_length=1, max_length=MAX_CURSOR_CHARS)] | None = None
    """`next` of the page before, which had the same `sort`."""


@routes.on(
    "GET",
    "/v1/services",
    query=ServicesQuery,
    replies={200: Reply("A page of services.", ServicePage)},
    problems=(NotFound,),
)
async def list_services(call: Call) -> web.Response:
    """List the services of the caller's projects; without `sort` oldest first."""
    query = call.query(ServicesQuery)
    order = ServiceOrder(query.sort, query.order)
    found = await call.use.service_lists.page(
        call.actor, query.asked(call.actor), order, cursor=query.cursor, limit=query.limit
    )
    return json_reply(found)


@routes.on(
    "GET",
    "/v1/services/counts",
    query=ServiceFilterQuery,
    replies={200: Reply("The numbers of services.", ServiceCounts)},
    problems=(NotFound,),
)
async def count_services(call: Call) -> web.Response:
    """Count the services of the caller's projects by status and phase."""
    return json_reply(await call.use.service_lists.counts(call.actor, call.query(ServiceFilterQuery).asked(call.actor)))
