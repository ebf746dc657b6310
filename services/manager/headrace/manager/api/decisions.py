"""The route of a service's scale decisions."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.decisions import ScaleDecisionView
from headrace.common.contracts.http.page import Page
from headrace.manager.api.routing import Call, Paging, Reply, Routes, json_reply

routes = Routes("services")


@routes.on(
    "GET",
    "/v1/services/{service}/decisions",
    query=Paging,
    replies={200: Reply("A page of changes.", Page[ScaleDecisionView])},
)
async def list_decisions(call: Call) -> web.Response:
    """List the changes of the wanted number of replicas, by users and by autoscaling rules, newest first."""
    page = call.query(Paging)
    return json_reply(
        await call.use.history.decisions(call.actor, call["service"], before=page.cursor, limit=page.limit)
    )
