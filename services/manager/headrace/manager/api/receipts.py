"""Routes of receipts: what drains and rollouts cost callers."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.receipts import ReceiptView, RolloutReceipt
from headrace.manager.api.routing import MAX_REVISION, Call, Paging, Reply, Routes, json_reply, revision_of

routes = Routes("services")


class ReceiptsQuery(Paging):
    """Query parameters of a list of receipts."""

    revision: Annotated[int, Field(ge=1, le=MAX_REVISION)] | None = None
    """Only of replicas that made way for this revision."""


@routes.on(
    "GET",
    "/v1/services/{service}/receipts",
    query=ReceiptsQuery,
    replies={200: Reply("A page of receipts.", Page[ReceiptView])},
)
async def list_receipts(call: Call) -> web.Response:
    """List the receipts of the service's drains, newest first: what became of the requests that were open. Kept for 90 days."""
    query = call.query(ReceiptsQuery)
    found = await call.use.receipts.page(
        call.actor, call["service"], revision=query.revision, before=query.cursor, limit=query.limit
    )
    return json_reply(found)


@routes.on(
    "GET", "/v1/services/{service}/revisions/{revision}/receipt", replies={200: Reply("The receipt.", RolloutReceipt)}
)
async def show_rollout_receipt(call: Call) -> web.Response:
    """Get the receipt of a revision's rollout: the sum over the replicas that it replaced."""
    return json_reply(await call.use.receipts.of_rollout(call.actor, call["service"], revision_of(call)))
