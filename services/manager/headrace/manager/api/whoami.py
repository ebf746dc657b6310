"""The route that tells callers who they are."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.whoami import WhoAmI
from headrace.manager.api.routing import Call, Reply, Routes, json_reply

routes = Routes("projects")


@routes.on("GET", "/v1/whoami", replies={200: Reply("The caller.", WhoAmI)})
async def whoami(call: Call) -> web.Response:
    """Get the caller's user, and role in each project."""
    return json_reply(await call.use.projects.whoami(call.actor))
