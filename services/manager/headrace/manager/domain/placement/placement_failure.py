"""Placement failures: why a session finds no machine, in words with the numbers in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal

from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.reasons.placement import PlacementReason
from headrace.common.contracts.slots import MEM
from headrace.manager.domain.placement.capacity import Demand, NodeCapacity, ResourceScale
from headrace.manager.domain.placement.machines import PLAN

_GIB = 2**30


class ExcludedMachines:
    """Machines that cannot be asked: how many for which reason, the nearest reason first."""

    def __init__(self, *, group: str, architecture: str | None) -> None:
        self._counts: Counter[PlacementReason] = Counter()
        self._words = {
            PlacementReason.DISK_LOW: "have less disk free than their agents keep in reserve (`headrace agent show` has the numbers)",
            PlacementReason.ADDRESS_NOT_ALLOWED: "say that they are at an address that is not allowed for them (`headrace agent show` says why)",
            PlacementReason.NO_IMAGE: "run containers only, and the service names no image",
            PlacementReason.OTHER_ARCHITECTURE: f"are not {architecture}, as the image is",
            PlacementReason.OTHER_GROUP: f"are not in resource group {group}",
        }

    def add(self, obstacle: PlacementReason | None) -> None:
        """Count one machine; None is one that can be asked."""
        if obstacle is not None:
            self._counts[obstacle] += 1

    def all(self) -> list[tuple[PlacementReason, str]]:
        """Return (code, words) of each reason that there is."""
        return [(code, f"{self._counts[code]} {words}") for code, words in self._words.items() if self._counts[code]]


def refusal(
    demand: Demand,
    nearest: Sequence[NodeCapacity],
    scale: ResourceScale,
    excluded: ExcludedMachines,
    *,
    asked: int,
    possible: bool,
    kept: tuple[NodeCapacity, SessionId] | None,
) -> tuple[PlacementReason, str]:
    """Return (code, text): the nearest misses one by one, how many more of the `asked` machines there are, and those not asked.

    `kept` is the machine that fits but is kept for an older session; `possible`: some machine would do when empty.
    """
    misses: list[tuple[PlacementReason, str]] = []
    if kept is not None:
        node, older = kept
        misses.append(
            (PlacementReason.KEPT_FOR_OLDER, f"{node.machine.id} is kept for session {older}, which has waited longer")
        )
        nearest = [other for other in nearest if other is not node]
    for node in nearest:
        code, words = _miss(node, demand, scale)
        misses.append((code, f"{node.machine.id} {words}"))
    away = excluded.all()
    if not misses and not away:
        return PlacementReason.NO_MACHINES, "no machine is alive; add one or start its agent"
    parts = [words for _, words in misses]
    if asked > len(misses):
        parts.append(f"{asked - len(misses)} more do not fit either")
    parts += [words for _, words in away]
    start = "no machine fits" if possible or not misses else "no machine is large enough, even when empty"
    return (misses or away)[0][0], f"{start}: {'; '.join(parts)}"


def _miss(node: NodeCapacity, demand: Demand, scale: ResourceScale) -> tuple[PlacementReason, str]:
    """Return (code, words) for all that is missing on this machine."""
    short = []
    for (index, amount), (name, asked) in zip(demand.amounts, demand.counted.items(), strict=True):
        if amount > node.free[index]:
            free, total = node.machine.free.get(name, Decimal(0)), node.machine.total.get(name, Decimal(0))
            taken = Decimal(scale.of(free) - node.free[index]) / scale.one
            short.append(_counted(name, asked, max(Decimal(0), free - taken), total))
    gpus = _gpus(node, demand, scale)
    if gpus is not None:
        return PlacementReason.INSUFFICIENT_GPUS, " and ".join([gpus, *short])
    return PlacementReason.INSUFFICIENT_SLOTS, " and ".join(short)


def _gpus(node: NodeCapacity, demand: Demand, scale: ResourceScale) -> str | None:
    spare = len(node.unused) - demand.gpus
    if spare > 0 or (spare == 0 and node.best >= demand.share):
        return None
    total, unused = len(node.machine.gpus), len(node.unused)
    if not total:
        return "has no GPU"
    whole = f"{demand.gpus} whole GPU{'s' if demand.gpus > 1 else ''}"
    if demand.whole:
        return f"needs {whole}, {unused} of {total} free"
    best = _plain(Decimal(node.best) / scale.one)
    if demand.gpus and demand.share:
        return f"needs {whole} and {_plain(demand.rest)} of another, {unused} of {total} free and at most {best} of another"
    if demand.gpus:
        return f"needs {whole} as shares, {unused} of {total} free"
    return f"needs {_plain(demand.rest)} of a GPU, at most {best} of one free"


def _counted(name: str, asked: Decimal, free: Decimal, total: Decimal) -> str:
    if name == PLAN:
        return f"needs {_plain(asked)} KiB of its plan, {_plain(free)} of {_plain(total)} KiB free (specs with large environments fill it)"
    if name != MEM:
        return f"needs {_plain(asked)} {name}, {_plain(free)} of {_plain(total)} free"
    for digits in (4, 6, 9):
        words = [f"{float(amount) / _GIB:.{digits}g}" for amount in (asked, free, total)]
        if float(words[0]) > float(words[1]):
            return f"needs {words[0]} GiB, {words[1]} of {words[2]} GiB free"
    return f"needs {_plain(asked)} bytes of memory, {_plain(free)} of {_plain(total)} free"


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
