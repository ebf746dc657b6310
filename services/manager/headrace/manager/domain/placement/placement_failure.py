"""Texts of placement failures: why a session finds no machine, with numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from heapq import nsmallest
from typing import Final

from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.reasons.placement import PlacementReason
from headrace.common.contracts.slots import MEM
from headrace.manager.domain.placement.capacity import Demand, NodeCapacity, ResourceScale
from headrace.manager.domain.placement.machines import PLAN, Machine

_GIB = 2**30
_NAMED: Final = 5
"""Machines that a reason speaks of one by one."""
_NAMED_CORDONS: Final = 2
"""Cordons that a reason quotes; a text has 1,000 characters, and a cordon's own reason up to 200."""


class ExcludedMachines:
    """Count of ineligible machines by reason, the most specific reason first."""

    def __init__(self, *, group: str, architecture: str | None) -> None:
        self._counts: Counter[PlacementReason] = Counter()
        self._cordons: list[str] = []
        self._words = {
            PlacementReason.CORDONED: "",
            PlacementReason.DISK_LOW: "have less disk free than their agents keep in reserve (`headrace agent show` has the numbers)",
            PlacementReason.ADDRESS_NOT_ALLOWED: "say that they are at an address that is not allowed for them (`headrace agent show` says why)",
            PlacementReason.NO_PLAN_KEY: "have agents of an older version, to which no secret can be encrypted; upgrade these",
            PlacementReason.NO_IMAGE: "run containers only, and the service names no image",
            PlacementReason.OTHER_ARCHITECTURE: f"are not {architecture}, as the image is",
            PlacementReason.OTHER_GROUP: f"are not in resource group {group}",
        }

    def add(self, obstacle: PlacementReason | None, machine: Machine) -> None:
        """Count one machine; None: it is eligible."""
        if obstacle is None:
            return
        self._counts[obstacle] += 1
        if obstacle is PlacementReason.CORDONED and machine.cordon is not None and len(self._cordons) < _NAMED_CORDONS:
            self._cordons.append(f"{machine.id} {machine.cordon.text}")

    def all(self) -> list[tuple[PlacementReason, str]]:
        """Return (code, text) of each reason with at least one machine."""
        return [(code, self._text(code, words)) for code, words in self._words.items() if self._counts[code]]

    def _text(self, code: PlacementReason, words: str) -> str:
        if code is not PlacementReason.CORDONED:
            return f"{self._counts[code]} {words}"
        further = self._counts[code] - len(self._cordons)
        more = [f"{further} more {'is' if further == 1 else 'are'} cordoned"] if further else []
        return "; ".join([*self._cordons, *more])


class _NearMisses:
    """Nodes nearest to fitting demands for the same GPUs, with the texts about their GPUs."""

    __slots__ = ("free", "gpus", "nodes", "said")

    def __init__(self, nodes: Sequence[NodeCapacity], demand: Demand, scale: ResourceScale) -> None:
        self.nodes = nodes
        self.gpus = [_gpus(node, demand, scale) for node in nodes]
        """None where there are enough."""
        self.free = [min(amounts) for amounts in zip(*(node.free for node in nodes), strict=True)]
        """Of each counted slot the least that one of them has."""
        self.said: dict[bool, tuple[PlacementReason, str]] = {}
        """Reasons in which GPUs alone are missing, by whether some machine would do when empty."""

    def lack_gpus_only(self, demand: Demand) -> bool:
        """Return whether there are such nodes, and each of them has enough of all counted slots."""
        free = self.free
        return bool(free) and all(free[index] >= amount for index, amount in demand.amounts)


class PlacementFailures:
    """Explains why sessions fit on none of some nodes. Use it when all are placed: an explanation is shared by equal demands."""

    def __init__(
        self, nodes: Sequence[NodeCapacity], away: Sequence[tuple[PlacementReason, str]], scale: ResourceScale
    ) -> None:
        """Take the eligible nodes, and (code, text) of the ineligible machines."""
        self._nodes = nodes
        self._away = away
        self._scale = scale
        self._nearest: dict[tuple[bool, bool], list[NodeCapacity]] = {}
        self._misses: dict[tuple[bool, int, int], _NearMisses] = {}

    def reason(
        self, demand: Demand, *, possible: bool, kept: tuple[NodeCapacity, SessionId] | None
    ) -> tuple[PlacementReason, str]:
        """Return (code, text): the nearest misses one by one, the number of other eligible machines, and the ineligible ones.

        `kept`: the machine that would fit but is reserved for an older session; `possible`: some machine would fit when
        empty, or with its disk or address in order.
        """
        near = self._near(demand)
        if kept is not None or not near.lack_gpus_only(demand):
            return self._reason(demand, near, possible=possible, kept=kept)
        said = near.said.get(possible)
        if said is None:
            said = near.said[possible] = self._reason(demand, near, possible=possible, kept=None)
        return said

    def _near(self, demand: Demand) -> _NearMisses:
        """Return the five nodes with the most of what is requested; the same for all that request the same kind of GPU."""
        key = (demand.whole, demand.gpus, demand.share)
        near = self._misses.get(key)
        if near is None:
            kind, one = (demand.gpus > 0, demand.share > 0), self._scale.one
            if kind not in self._nearest:
                self._nearest[kind] = nsmallest(_NAMED, self._nodes, key=lambda node: node.nearest_first(demand, one))
            near = self._misses[key] = _NearMisses(self._nearest[kind], demand, self._scale)
        return near

    def _reason(
        self, demand: Demand, near: _NearMisses, *, possible: bool, kept: tuple[NodeCapacity, SessionId] | None
    ) -> tuple[PlacementReason, str]:
        misses: list[tuple[PlacementReason, str]] = []
        if kept is not None:
            node, older = kept
            words = f"{node.machine.id} is kept for session {older}, which has waited longer"
            misses.append((PlacementReason.KEPT_FOR_OLDER, words))
        for node, gpus in zip(near.nodes, near.gpus, strict=True):
            if kept is None or node is not kept[0]:
                misses.append(self._miss(node, gpus, demand))
        if not misses and not self._away:
            return PlacementReason.NO_MACHINES, "no machine is alive; add one or start its agent"
        parts = [words for _, words in misses]
        if len(self._nodes) > len(misses):
            parts.append(f"{len(self._nodes) - len(misses)} more do not fit either")
        parts += [words for _, words in self._away]
        if possible or not misses:
            return (misses or self._away)[0][0], f"no machine fits: {'; '.join(parts)}"
        return (
            PlacementReason.EXCEEDS_EVERY_MACHINE,
            f"no machine is large enough, even when empty: {'; '.join(parts)}",
        )

    def _miss(self, node: NodeCapacity, gpus: str | None, demand: Demand) -> tuple[PlacementReason, str]:
        """Return (code, text) of everything that is missing on this machine."""
        free = node.free
        short = [self._counted(node, demand, index) for index, amount in demand.amounts if amount > free[index]]
        words = " and ".join(short if gpus is None else (gpus, *short))
        code = PlacementReason.INSUFFICIENT_SLOTS if gpus is None else PlacementReason.INSUFFICIENT_GPUS
        return code, f"{node.machine.id} {words}"

    def _counted(self, node: NodeCapacity, demand: Demand, index: int) -> str:
        """Return the text for a counted slot of which too little is free."""
        name = self._scale.names[index]
        free, total = node.machine.free.get(name, Decimal(0)), node.machine.total.get(name, Decimal(0))
        taken = Decimal(self._scale.of(free) - node.free[index]) / self._scale.one
        return _counted(name, demand.slots[name], max(Decimal(0), free - taken), total)


def _gpus(node: NodeCapacity, demand: Demand, scale: ResourceScale) -> str | None:
    spare = len(node.unused) - demand.gpus
    if spare > 0 or (spare == 0 and node.best >= demand.share):
        return None
    total, unused = len(node.machine.gpus), len(node.unused)
    if not total:
        return "has no GPU"
    whole = f"{demand.gpus} whole GPU{'s' if demand.gpus > 1 else ''}"
    if demand.whole:
        return f"would need {whole}, {unused} of {total} free"
    best = _plain(Decimal(node.best) / scale.one)
    if demand.gpus and demand.share:
        return f"would need {whole} and {_plain(demand.rest)} of another, {unused} of {total} free and at most {best} of another"
    if demand.gpus:
        return f"would need {whole} as shares, {unused} of {total} free"
    return f"would need {_plain(demand.rest)} of a GPU, at most {best} of one free"


def _counted(name: str, asked: Decimal, free: Decimal, total: Decimal) -> str:
    if name == PLAN:
        return f"would need {_plain(asked)} KiB of its plan, {_plain(free)} of {_plain(total)} KiB free (specs with large environments fill it)"
    if name != MEM:
        return f"would need {_plain(asked)} {name}, {_plain(free)} of {_plain(total)} free"
    for digits in (4, 6, 9):
        words = [f"{float(amount) / _GIB:.{digits}g}" for amount in (asked, free, total)]
        if float(words[0]) > float(words[1]):
            return f"would need {words[0]} GiB, {words[1]} of {words[2]} GiB free"
    return f"would need {_plain(asked)} bytes of memory, {_plain(free)} of {_plain(total)} free"


def _plain(amount: Decimal) -> str:
    return f"{amount.normalize():f}"
