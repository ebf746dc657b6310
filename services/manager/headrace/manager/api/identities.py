"""Routes of identities on the bus, for operators."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field, StringConstraints

from headrace.common.contracts.http.agents import OperatorReason
from headrace.common.contracts.http.joining import BusIdentityView
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import Conflict, Forbidden
from headrace.manager.api.routing import Call, Query, Reply, Routes, json_reply, no_content

routes = Routes("operation")


class IdentitiesQuery(Query):
    """Query parameters of identities."""

    limit: Annotated[int, Field(ge=1, le=500)] = 100
    cursor: Annotated[str, StringConstraints(max_length=128)] | None = None


class RevokeQuery(Query):
    """Query parameters of a revocation."""

    reason: OperatorReason = ""
    """Why, for its service's log and the history."""


@routes.on(
    "GET",
    "/v1/identities",
    query=IdentitiesQuery,
    replies={200: Reply("A page of identities.", Page[BusIdentityView])},
    problems=(Forbidden,),
)
async def list_identities(call: Call) -> web.Response:
    """List the identities on the bus that joined or were revoked (operators), by name."""
    page = call.query(IdentitiesQuery)
    return json_reply(await call.use.identities.page(call.actor, after=page.cursor or "", limit=page.limit))


@routes.on(
    "DELETE",
    "/v1/identities/{name}",
    query=RevokeQuery,
    replies={204: Reply("It is revoked.")},
    problems=(Forbidden, Conflict),
)
async def revoke_identity(call: Call) -> web.Response:
    """Revoke an identity on the bus (operators): its connections end, and it is refused from then on.

    Of an agent whose machine leaves, remove the agent: that revokes its identity too.
    """
    await call.use.identities.revoke(call.actor, call["name"], reason=call.query(RevokeQuery).reason)
    return no_content()
