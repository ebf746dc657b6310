"""Route of the status of the installation."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.status import InstallationStatus
from headrace.common.contracts.problems import Forbidden, Unauthenticated, Unavailable
from headrace.manager.api.routing import Call, Reply, Routes, json_reply

routes = Routes("installation")


@routes.on(
    "GET",
    "/v1/status",
    replies={200: Reply("Its parts, and what is wrong with them.", InstallationStatus)},
    problems=(Unauthenticated, Forbidden, Unavailable),
    public=True,  # its use case authenticates, and says more than others while the database is away
)
async def show_status(call: Call) -> web.Response:
    """Show each part of the installation: managers, autoscalers, app-proxies, agents and stores (operators).

    Each with its version, where it is, since when it is in its state, and why that is not `up`. Without the database nobody can
    be authenticated: then the problem's `detail` says since when, and what that means.
    """
    return json_reply(await call.use.status.show(call.presented))
