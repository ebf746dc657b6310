"""Routes of services: create, show, change."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.revisions import Rollback
from headrace.common.contracts.http.services import (
    CreateService,
    NameAvailability,
    ServiceDetail,
    UpdateService,
)
from headrace.common.contracts.ids import Slug
from headrace.common.contracts.problems import (
    Conflict,
    Forbidden,
    InsufficientStorage,
    InvalidDefinition,
    NameTaken,
    NotFound,
    QuotaExceeded,
)
from headrace.manager.api.routing import Call, Query, Reply, Routes, json_reply, no_content

routes = Routes("services")
DETAIL = {200: Reply("The service.", ServiceDetail)}


class NameQuery(Query):
    """Query parameters of the question whether a name is free."""

    name: Slug


@routes.on(
    "POST",
    "/v1/services",
    body=CreateService,
    creates="/v1/services/{name}",
    replies={201: Reply("The service.", ServiceDetail)},
    problems=(Forbidden, NotFound, NameTaken, QuotaExceeded, Conflict, InvalidDefinition, InsufficientStorage),
)
async def create_service(call: Call) -> web.Response:
    """Create a service with its first revision (members). Replicas are started in the background."""
    service = await call.use.services.create(call.actor, call.body(CreateService))
    return json_reply(service, status=201)


@routes.on(
    "GET",
    "/v1/services/available",
    query=NameQuery,
    replies={200: Reply("Whether the name is available.", NameAvailability)},
)
async def is_available(call: Call) -> web.Response:
    """Check whether a new service may have this name, and why not."""
    return json_reply(await call.use.services.available(call.query(NameQuery).name))


@routes.on("GET", "/v1/services/{service}", replies=DETAIL)
async def show_service(call: Call) -> web.Response:
    """Get a service with its replicas and the errors of failed starts."""
    return json_reply(await call.use.services.detail(call.actor, call["service"]))


@routes.on(
    "PATCH",
    "/v1/services/{service}",
    body=UpdateService,
    replies=DETAIL,
    problems=(Forbidden, NameTaken, Conflict, QuotaExceeded, InvalidDefinition, InsufficientStorage),
    conditional=True,
)
async def update_service(call: Call) -> web.Response:
    """Change the given fields of a service (members). A spec becomes a new revision, which is rolled out without downtime.

    Other fields apply without a restart of replicas; app-proxies apply them within a second.
    """
    return json_reply(await call.use.changes.update(call.actor, call["service"], call.body(UpdateService)))


@routes.on(
    "DELETE",
    "/v1/services/{service}",
    problems=(Forbidden,),
    replies={
        204: Reply("It is deleted."),
        202: Reply("Its replicas drain and stop; then it is deleted.", ServiceDetail),
    },
    conditional=True,
)
async def delete_service(call: Call) -> web.Response:
    """Delete a service with its tokens, rules and history (members). 202 while its replicas drain and stop."""
    detail = await call.use.changes.delete(call.actor, call["service"])
    return no_content() if detail is None else json_reply(detail, status=202)


@routes.on(
    "POST",
    "/v1/services/{service}/start",
    replies=DETAIL,
    problems=(Forbidden, Conflict, QuotaExceeded),
    conditional=True,
)
async def start_service(call: Call) -> web.Response:
    """Start a stopped service with its wanted number of replicas (members)."""
    return json_reply(await call.use.changes.start(call.actor, call["service"]))


@routes.on("POST", "/v1/services/{service}/stop", replies=DETAIL, problems=(Forbidden, Conflict), conditional=True)
async def stop_service(call: Call) -> web.Response:
    """Stop a service: all replicas are drained and stopped, everything else is kept (members)."""
    return json_reply(await call.use.changes.stop(call.actor, call["service"]))


@routes.on(
    "POST",
    "/v1/services/{service}/restart",
    replies=DETAIL,
    problems=(Forbidden, Conflict, QuotaExceeded),
    conditional=True,
)
async def restart_service(call: Call) -> web.Response:
    """Restart a service: its current revision is rolled out again without downtime, as a new revision (members)."""
    return json_reply(await call.use.changes.restart(call.actor, call["service"]))


@routes.on(
    "POST",
    "/v1/services/{service}/retry",
    replies=DETAIL,
    problems=(Forbidden, Conflict, QuotaExceeded, InvalidDefinition, InsufficientStorage),
    conditional=True,
)
async def retry_service(call: Call) -> web.Response:
    """Retry failed starts at once, and forget their errors (members). Definition files that changed become a new revision."""
    return json_reply(await call.use.changes.retry(call.actor, call["service"]))


@routes.on(
    "POST",
    "/v1/services/{service}/rollback",
    body=Rollback,
    replies=DETAIL,
    problems=(Forbidden, Conflict, QuotaExceeded),
    conditional=True,
)
async def roll_back_service(call: Call) -> web.Response:
    """Roll back to an earlier revision, which is rolled out as a new one (members)."""
    return json_reply(await call.use.changes.rollback(call.actor, call["service"], call.body(Rollback)))
