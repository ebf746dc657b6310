"""Project quotas: upper bounds per slot on the sum over all replicas that its running services want.

The wanted number counts, not the running one: starting slowly does not evade a quota.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Need:
    """What is asked for of one slot, beside what the project holds."""

    slot: str
    asked: Decimal
    used: Decimal
    limit: Decimal | None
    """None: unlimited."""
    counted: tuple[str, ...] = ()
    """The slots that are counted together."""

    @property
    def left(self) -> Decimal | None:
        """What would be left; negative where it is too much, None where there is no limit."""
        return None if self.limit is None else self.limit - self.used - self.asked

    def exceeded(self, project: str) -> QuotaExceeded | None:
        """Return the problem with the numbers, if it is too much."""
        if self.limit is None or self.asked <= 0 or self.used + self.asked <= self.limit:
            return None
        whole, others, here, most = _amounts(self.slot, self.used + self.asked, self.used, self.asked, self.limit)
        what = self.slot if len(self.counted) == 1 else "cuda.device and cuda.shares together"
        return QuotaExceeded(
            f"project {project} would hold {whole} of {what}: {others} are held and {here} are asked for; its limit is {most}",
            slot=self.slot,
            limit=str(self.limit),
            used=str(self.used),
            requested=str(self.asked),
        )


def needs(limits: Slots | None, used: Slots, more: Slots) -> list[Need]:
    """Return what `more` needs of each slot that has a limit or is asked for.

    A slot without a limit is unlimited. A whole GPU is one share: a limit on only one of cuda.device and cuda.shares
    bounds the sum of both. With limits on both, each bounds its own.
    """
    bounds = limits or {}
    found = []
    for slot, limit in sorted(bounds.items()):
        counted = _GPUS if slot in _GPUS and not all(name in bounds for name in _GPUS) else (slot,)
        asked = sum((more.get(name, _ZERO) for name in counted), _ZERO)
        held = sum((used.get(name, _ZERO) for name in counted), _ZERO)
        found.append(Need(slot, asked, held, limit, counted))
    bounded = {name for need in found for name in need.counted}
    free = (name for name in sorted(more) if name not in bounded)
    return found + [Need(name, more[name], used.get(name, _ZERO), None, (name,)) for name in free]


def check(project: str, limits: Slots | None, used: Slots, more: Slots) -> None:
    """Raise QuotaExceeded with the numbers when `used` and `more` together exceed a limit."""
    for need in needs(limits, used, more):
        if problem := need.exceeded(project):
            raise problem


def _amounts(slot: str, *amounts: Decimal) -> list[str]:
    """Format the amounts in one unit in which all of them are exact, so that the sum reads right."""
    if slot not in SIZES:
        return [f"{amount.normalize():f}" for amount in amounts]
    for size, unit in _UNITS:
        parts = [amount / size for amount in amounts]
        if all(part == part.quantize(_STEP) for part in parts):
            return [f"{part.normalize():f} {unit}" for part in parts]
    return [f"{amount.normalize():f} bytes" for amount in amounts]
