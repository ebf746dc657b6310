"""Routes of single replicas: show, weight, replacement."""

from __future__ import annotations

from aiohttp import web

from headrace.common.contracts.http.replicas import PutWeight, ReplicaView
from headrace.common.contracts.http.rollouts import RolloutMessage
from headrace.common.contracts.problems import Conflict, Forbidden
from headrace.manager.api.routing import Call, Reply, Routes, json_reply

routes = Routes("services")


@routes.on("GET", "/v1/services/{service}/replicas/{replica}", replies={200: Reply("The replica.", ReplicaView)})
async def show_replica(call: Call) -> web.Response:
    """Get a replica, also one that ended, as long as it is kept. Its `revision` has the exact spec that it ran."""
    return json_reply(await call.use.replicas.show(call.actor, call["service"], call["replica"]))


@routes.on(
    "PUT",
    "/v1/services/{service}/replicas/{replica}/weight",
    body=PutWeight,
    replies={200: Reply("The replica.", ReplicaView)},
    problems=(Forbidden, Conflict),
)
async def put_weight(call: Call) -> web.Response:
    """Set a replica's traffic weight relative to the other replicas' (members). App-proxies apply it within a second.

    The default is 100; with 0 it gets no new requests. A replica that replaces it has 100 again.
    """
    weight = call.body(PutWeight).weight
    return json_reply(await call.use.replicas.weigh(call.actor, call["service"], call["replica"], weight))


@routes.on(
    "POST",
    "/v1/services/{service}/replicas/{replica}/replace",
    body=RolloutMessage,
    replies={200: Reply("The replica that is to leave.", ReplicaView)},
    problems=(Forbidden, Conflict),
)
async def replace_replica(call: Call) -> web.Response:
    """Replace a replica (members): another one starts, and this one drains once that serves. Asked twice it is once."""
    message = call.body(RolloutMessage).message
    return json_reply(await call.use.replicas.replace(call.actor, call["service"], call["replica"], message))
