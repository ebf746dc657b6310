"""The route of resolutions: the dry run of a creation or change of a service."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.resolutions import ResolutionView, Resolve
from headrace.common.contracts.problems import Forbidden, NotFound
from headrace.manager.api.routing import Call, Reply, Routes, json_reply

routes = Routes("services")


@routes.on(
    "POST",
    "/v1/resolutions",
    body=Resolve,
    any_key=True,
    replies={200: Reply("What the request comes to.", ResolutionView)},
    problems=(Forbidden, NotFound),
)
async def resolve(call: Call) -> web.Response:
    """Resolve a creation or a change of a service, and change nothing (members).

    200 also when the request would be refused: `problems` says all that is wrong with it. 400 for a body that is not of
    the declared form.
    """
    return json_reply(await call.use.resolutions.resolve(call.actor, call.body(Resolve)))
