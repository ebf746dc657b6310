"""Route of scrape targets."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.targets import TargetGroups, TargetKind
from headrace.common.contracts.problems import Forbidden, Unauthenticated, Unavailable
from headrace.manager.api.routing import Call, Query, Reply, Routes, json_reply

routes = Routes("installation")


class Which(Query):
    """Which targets."""

    kind: TargetKind | None = None
    """`agent`, `appproxy` or `replica` (the engines); without it all."""


@routes.on(
    "GET",
    "/v1/targets",
    query=Which,
    replies={200: Reply("The targets.", TargetGroups)},
    problems=(Unauthenticated, Forbidden, Unavailable),
    public=True,
)
async def list_targets(call: Call) -> web.Response:
    """List what Prometheus scrapes: agents, app-proxies and the engines of running replicas, for its HTTP service discovery.

    For operators, and with the scrape key (`Authorization: Bearer`), which is good for nothing else.
    """
    query = call.query(Which)
    return json_reply(await call.use.targets.groups(call.presented, query.kind))
