"""The route of a service's history: who changed what, and when."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.history import HistoryEntry
from headrace.common.contracts.http.page import Page
from headrace.manager.api.routing import Call, Paging, Reply, Routes, json_reply

routes = Routes("services")


@routes.on(
    "GET",
    "/v1/services/{service}/history",
    query=Paging,
    replies={200: Reply("A page of changes.", Page[HistoryEntry])},
)
async def list_history(call: Call) -> web.Response:
    """List the changes of the service: who, what, when, and the message given, newest first."""
    page = call.query(Paging)
    return json_reply(await call.use.history.entries(call.actor, call["service"], before=page.cursor, limit=page.limit))
