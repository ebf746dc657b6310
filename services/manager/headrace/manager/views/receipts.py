"""Views of receipts of drains."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.common.contracts.http.receipts import ReceiptView, RolloutReceipt
from headrace.common.contracts.reasons import Reason
from headrace.manager.domain.lifecycle import receipts as sums
from headrace.manager.domain.records.receipts import Receipt


def receipt_view(receipt: Receipt) -> ReceiptView:
    """Return the receipt of one replica's drain, summed over app-proxies."""
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


def rollout_view(revision: int, found: Sequence[Receipt], left: int) -> RolloutReceipt:
    """Return the receipt of a rollout. `left`: replicas of earlier revisions that take requests, or will."""
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
