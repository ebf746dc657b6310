"""Routes of revocations: at which app-proxies they are in force."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.revocations import RevocationView
from headrace.manager.api.routing import Call, Reply, Routes, json_reply

routes = Routes("tokens")
FOLLOWED = {200: Reply("The app-proxies that refuse it, and those that do not yet.", RevocationView)}


@routes.on("GET", "/v1/services/{service}/revocations/{id}", replies=FOLLOWED)
async def follow_revocation(call: Call) -> web.Response:
    """Get which app-proxies refuse a revoked token, a deleted client or a rotated secret of the service. Kept for a day."""
    return json_reply(await call.use.tokens.revocation(call.actor, "service", call["service"], call["id"]))


@routes.on("GET", "/v1/projects/{project}/revocations/{id}", replies=FOLLOWED)
async def follow_project_revocation(call: Call) -> web.Response:
    """Get which app-proxies refuse a revoked token of the project. Kept for a day."""
    return json_reply(await call.use.tokens.revocation(call.actor, "project", call["project"], call["id"]))
