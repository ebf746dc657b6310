"""What drains and rollouts cost callers."""

from __future__ import annotations

from uuid import UUID

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.traffic import ReceiptView, RolloutReceipt
from headrace.common.contracts.problems import NotFound
from headrace.common.contracts.reasons import Reason
from headrace.common.db.pool import Pool
from headrace.manager.domain.access import Actor
from headrace.manager.domain.lifecycle import receipts as sums
from headrace.manager.domain.records.receipts import Receipt
from headrace.manager.store import receipts, revisions
from headrace.manager.usecases.context import a_page, service_for


class Receipts:
    """Looking at receipts. All of it raises NotFound for a service that the caller does not see."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(
        self, actor: Actor, reference: str, *, revision: int | None, before: UUID | None, limit: int
    ) -> Page[ReceiptView]:
        """Return receipts of replicas that left, the newest drain first; with `revision` of those that made way for it."""
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "viewer")
            found = await receipts.page(con, facts.service.id, revision=revision, before=before, limit=limit + 1)
        return a_page(found, limit, _view, lambda receipt: receipt.session_id)

    async def of_rollout(self, actor: Actor, reference: str, revision: int) -> RolloutReceipt:
        """Return what the change to this revision cost. Raises NotFound."""
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "viewer")
            if not 1 <= revision <= await revisions.last_number(con, facts.service.id):
                raise NotFound(f"service {facts.service.name} has no revision {revision}")
            left = await receipts.left_behind(con, facts.service.id, revision)
            found = await receipts.page(con, facts.service.id, revision=revision, before=None, limit=None)
        return _rollout(revision, found, left)


def _view(receipt: Receipt) -> ReceiptView:
    return ReceiptView(
        **sums.total(receipt.parts.values()).model_dump(),
        replica=receipt.session_id,
        revision=receipt.revision,
        replaced_by=receipt.replaced_by,
        reason=Reason.read(receipt.reason_code, receipt.reason_text),
        began_at=receipt.began_at,
        ended_at=receipt.ended_at,
        proxies=tuple(sorted(proxy_id for proxy_id, part in receipt.parts.items() if part.in_flight is not None)),
        waiting_for=sums.waiting_for(receipt.parts),
        complete=sums.complete(receipt.parts, counted=receipt.counted),
    )


def _rollout(revision: int, found: list[Receipt], left: int) -> RolloutReceipt:
    draining = sum(receipt.ended_at is None for receipt in found)
    ended = [receipt.ended_at for receipt in found if receipt.ended_at is not None]
    return RolloutReceipt(
        **sums.total(part for receipt in found for part in receipt.parts.values()).model_dump(),
        revision=revision,
        replicas=len(found),
        draining=draining,
        began_at=min((receipt.began_at for receipt in found), default=None),
        ended_at=max(ended, default=None) if not draining and not left else None,
        waiting_for=tuple(sorted({proxy_id for receipt in found for proxy_id in sums.waiting_for(receipt.parts)})),
        complete=not left and all(sums.complete(receipt.parts, counted=receipt.counted) for receipt in found),
    )
