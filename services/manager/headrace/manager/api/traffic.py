"""Routes of what is done to a service's traffic: weights of replicas, receipts of drains and rollouts."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.services import ReplicaView
from headrace.common.contracts.http.traffic import PutWeight, ReceiptView, RolloutReceipt
from headrace.common.contracts.problems import Conflict, Forbidden
from headrace.manager.api.routing import MOST_REVISION, Call, Paging, Reply, Routes, json_reply, revision_of

routes = Routes("services")


class ReceiptsQuery(Paging):
    """Which receipts."""

    revision: Annotated[int, Field(ge=1, le=MOST_REVISION)] | None = None
    """Only of replicas that made way for this revision."""


@routes.on(
    "PUT", "/v1/services/{service}/replicas/{replica}/weight", body=PutWeight,
    replies={200: Reply("The replica.", ReplicaView)}, problems=(Forbidden, Conflict),
)  # fmt: skip
async def put_weight(call: Call) -> web.Response:
    """Set a replica's share of new requests against the other replicas' (members); app-proxies know within a second.

    100 is usual; 0 takes it out of turn. A replica that takes its place later has 100 again.
    """
    weight = call.body(PutWeight).weight
    return json_reply(await call.use.replicas.weigh(call.actor, call["service"], call["replica"], weight))


@routes.on(
    "GET", "/v1/services/{service}/receipts", query=ReceiptsQuery,
    replies={200: Reply("Receipts.", Page[ReceiptView])},
)  # fmt: skip
async def list_receipts(call: Call) -> web.Response:
    """Return what became of the requests that were open when replicas left, the newest drain first; kept for 90 days."""
    query = call.query(ReceiptsQuery)
    found = await call.use.receipts.page(
        call.actor, call["service"], revision=query.revision, before=query.cursor, limit=query.limit
    )
    return json_reply(found)


@routes.on(
    "GET", "/v1/services/{service}/revisions/{revision}/receipt", replies={200: Reply("The sum.", RolloutReceipt)}
)
async def show_rollout_receipt(call: Call) -> web.Response:
    """Return what the change to a revision cost callers: the sum over the replicas that it replaced."""
    return json_reply(await call.use.receipts.of_rollout(call.actor, call["service"], revision_of(call)))
