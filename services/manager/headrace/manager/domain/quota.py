"""Project quotas: upper bounds per slot on the sum over all replicas that its running services want.

The wanted number counts, not the running one: starting slowly does not evade a quota.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from headrace.common.contracts.problems import QuotaExceeded
from headrace.common.contracts.slots import GPU_DEVICE, GPU_SHARES, SERVICES, SIZES, parse_slots

Slots = Mapping[str, Decimal]
_ZERO = Decimal(0)
_GPUS = (GPU_DEVICE, GPU_SHARES)
_UNITS = ((2**30, "GiB"), (2**20, "MiB"))
_STEP = Decimal("0.01")


def times(slots: Slots, count: int) -> dict[str, Decimal]:
    """Return the slots of `count` replicas."""
    return {name: amount * count for name, amount in slots.items()}


def started(slots: Slots, count: int = 1) -> dict[str, Decimal]:
    """Return what a service, or a trial run, takes of a quota when it starts, with `count` replicas."""
    return {**times(slots, count), SERVICES: Decimal(1)}


def changed(limits: Slots | None, change: Mapping[str, Decimal | None] | None) -> dict[str, Decimal] | None:
    """Return the limits after a change: named ones replaced, those set to None removed. None: unlimited.

    Raises Refused when there would be more limits than a quota may have.
    """
    if change is None:
        return None
    after = {name: amount for name, amount in {**(limits or {}), **change}.items() if amount is not None}
    return parse_slots(after) or None


def check(project: str, limits: Slots | None, used: Slots, more: Slots) -> None:
    """Raise QuotaExceeded with the numbers when `used` and `more` together exceed a limit.

    A slot without a limit is unlimited.

    A whole GPU is one share: a limit on only one of cuda.device and cuda.shares bounds the sum of both. With limits on
    both, each bounds its own.
    """
    for slot, limit in sorted((limits or {}).items()):
        counted = _GPUS if slot in _GPUS and not all(name in (limits or {}) for name in _GPUS) else (slot,)
        asked = sum((more.get(name, _ZERO) for name in counted), _ZERO)
        held = sum((used.get(name, _ZERO) for name in counted), _ZERO)
        if asked > 0 and held + asked > limit:
            whole, others, here, most = _amounts(slot, held + asked, held, asked, limit)
            what = slot if len(counted) == 1 else "cuda.device and cuda.shares together"
            raise QuotaExceeded(
                f"project {project} would hold {whole} of {what}: {others} are held and {here} are asked for; its limit is {most}",
                slot=slot,
                limit=str(limit),
                used=str(held),
                requested=str(asked),
            )


def _amounts(slot: str, *amounts: Decimal) -> list[str]:
    """Format the amounts in one unit in which all of them are exact, so that the sum reads right."""
    if slot not in SIZES:
        return [f"{amount.normalize():f}" for amount in amounts]
    for size, unit in _UNITS:
        parts = [amount / size for amount in amounts]
        if all(part == part.quantize(_STEP) for part in parts):
            return [f"{part.normalize():f} {unit}" for part in parts]
    return [f"{amount.normalize():f} bytes" for amount in amounts]
