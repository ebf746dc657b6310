"""Use cases of receipts: what drains and rollouts cost callers (requests cut, failed, retried)."""

from __future__ import annotations

from uuid import UUID

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.receipts import ReceiptView, RolloutReceipt
from headrace.common.contracts.problems import NotFound
from headrace.common.db.pool import Pool
from headrace.manager.domain.access import Actor
from headrace.manager.store import receipts, revisions
from headrace.manager.usecases.context import make_page, service_for
from headrace.manager.views.receipts import receipt_view, rollout_view


class Receipts:
    """Use cases of receipts. All raise NotFound for a service that the caller does not see."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, actor: Actor, reference: str, *, revision: int | None, before: UUID | None, limit: int
    ) -> Page[ReceiptView]:
        """Return receipts of replicas, the newest drain first; with `revision` only of those that its rollout replaced."""
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "viewer")
            found = await receipts.page(con, facts.service.id, revision=revision, before=before, limit=limit + 1)
        return make_page(found, limit, receipt_view, lambda receipt: receipt.session_id)

    async def of_rollout(self, actor: Actor, reference: str, revision: int) -> RolloutReceipt:
        """Return the summed receipts of the rollout of this revision. Raises NotFound."""
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "viewer")
            if not 1 <= revision <= await revisions.last_number(con, facts.service.id):
                raise NotFound(f"service {facts.service.name} has no revision {revision}")
            left = await receipts.left_behind(con, facts.service.id, revision)
            found = await receipts.page(con, facts.service.id, revision=revision, before=None, limit=None)
        return rollout_view(revision, found, left)
