"""How much a project may hold: per slot, over all replicas that its running services want."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from headrace.common.contracts.problems import QuotaExceeded
from headrace.common.contracts.slots import MEM

Slots = Mapping[str, Decimal]


def times(slots: Slots, count: int) -> dict[str, Decimal]:
    """Return what `count` replicas hold."""
    return {name: amount * count for name, amount in slots.items()}


def check(project: str, limits: Slots | None, used: Slots, more: Slots) -> None:
    """Raise QuotaExceeded with the arithmetic when `used` and `more` together pass a limit. A slot without one is unlimited."""
    for slot, asked in sorted(more.items()):
        limit = (limits or {}).get(slot)
        held = used.get(slot, Decimal(0))
        if limit is not None and asked > 0 and held + asked > limit:
            raise QuotaExceeded(
                f"project {project} would hold {_amount(slot, held + asked)} {slot} "
                f"({_amount(slot, held)} now and {_amount(slot, asked)} more); its limit is {_amount(slot, limit)}",
                slot=slot, limit=str(limit), used=str(held), requested=str(asked),
            )  # fmt: skip


def _amount(slot: str, amount: Decimal) -> str:
    if slot == MEM:
        return f"{(amount / 2**30).quantize(Decimal('0.01')).normalize():f} GiB"
    return f"{amount.normalize():f}"
