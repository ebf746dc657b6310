"""The route of a replica's weight."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.replicas import PutWeight, ReplicaView
from headrace.common.contracts.problems import Conflict, Forbidden
from headrace.manager.api.routing import Call, Reply, Routes, json_reply

routes = Routes("services")


@routes.on(
    "PUT",
    "/v1/services/{service}/replicas/{replica}/weight",
    body=PutWeight,
    replies={200: Reply("The replica.", ReplicaView)},
    problems=(Forbidden, Conflict),
)
async def put_weight(call: Call) -> web.Response:
    """Set a replica's share of new requests against the other replicas' (members); app-proxies know within a second.

    100 is usual; 0 takes it out of turn. A replica that takes its place later has 100 again.
    """
    weight = call.body(PutWeight).weight
    return json_reply(await call.use.replicas.weigh(call.actor, call["service"], call["replica"], weight))
