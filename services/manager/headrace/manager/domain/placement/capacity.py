"""Free capacity of machines, counted in integers of one unit that holds every amount exactly.

Decimals are ten times slower to compare and add; a pass over thousands of machines does little else.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from decimal import MAX_PREC, Context, Decimal
from math import lcm

from headrace.common.contracts.slots import CPU, GPU_DEVICE, GPU_SHARES, MEM
from headrace.manager.domain.placement.machines import Grant, Machine

ONE = Decimal(1)
_EXACT = Context(prec=MAX_PREC)


class ResourceScale:
    """Integer unit of all amounts, and the order of counted slots."""

    def __init__(self, slots: Iterable[Mapping[str, Decimal]], machines: Sequence[Machine]) -> None:
        asked = list(slots)
        counted = {name for amounts in asked for name in amounts} - {CPU, MEM, GPU_DEVICE, GPU_SHARES}
        self.names = (CPU, MEM, *sorted(counted))
        self.index = {name: index for index, name in enumerate(self.names)}
        amounts = {ONE}
        for some in (
            *asked,
            *(machine.free for machine in machines),
            *(machine.total for machine in machines),
            *(machine.leaving for machine in machines),
            *(machine.gpus for machine in machines),
            *(machine.leaving_gpus for machine in machines),
        ):
            amounts.update(some.values())
        ratios = {amount: amount.as_integer_ratio() for amount in amounts}
        self.one = lcm(*(denominator for _, denominator in ratios.values()))
        self._units = {amount: top * (self.one // bottom) for amount, (top, bottom) in ratios.items()}
        """Each amount that there is in units: few are distinct, and dividing costs ten times as much as looking up."""

    def of(self, amount: Decimal) -> int:
        """Convert an amount to units, exactly."""
        units = self._units.get(amount)
        if units is None:
            top, bottom = amount.as_integer_ratio()
            units = self._units[amount] = top * (self.one // bottom)
        return units

    def counted(self, amounts: Mapping[str, Decimal]) -> list[int]:
        """Convert the amounts of all counted slots, in order, 0 where there is none."""
        return [self.of(amounts[name]) if name in amounts else 0 for name in self.names]


class Demand:
    """Resource request of one class of sessions, in units."""

    __slots__ = ("_counted", "_rest", "amounts", "gpus", "share", "slots", "whole")

    def __init__(self, scale: ResourceScale, slots: Mapping[str, Decimal]) -> None:
        self.slots = slots
        amounts, device, shares = [], 0, 0
        for name, amount in slots.items():
            if (units := scale.of(amount)) > 0:
                if name == GPU_DEVICE:
                    device = units
                elif name == GPU_SHARES:
                    shares = units
                else:
                    amounts.append((scale.index[name], units))
        self.amounts = tuple(amounts)
        """(place of the slot, units) of what is counted."""
        self.whole = device > 0
        self.gpus = (device or shares) // scale.one
        """Number of unused GPUs that it needs."""
        self.share = 0 if device else shares % scale.one
        """Units of one more GPU."""
        self._counted: dict[str, Decimal] | None = None
        self._rest: Decimal | None = None

    @property
    def rest(self) -> Decimal:
        """Share of one more GPU, as an amount."""
        if self._rest is None:
            self._rest = _EXACT.subtract(self.slots[GPU_SHARES], Decimal(self.gpus)) if self.share else Decimal(0)
        return self._rest

    @property
    def counted(self) -> dict[str, Decimal]:
        """Amounts of counted slots by name."""
        if self._counted is None:
            self._counted = {
                name: amount
                for name, amount in self.slots.items()
                if amount > 0 and name not in (GPU_DEVICE, GPU_SHARES)
            }
        return self._counted


class NodeCapacity:
    """Free capacity of one machine; take() reduces it."""

    __slots__ = ("best", "free", "given", "kept", "machine", "partial", "unused")

    def __init__(self, machine: Machine, scale: ResourceScale) -> None:
        self.machine = machine
        self.free = scale.counted(machine.free)
        self.unused: list[str] = []
        """GPUs that nobody holds, the first to give away last."""
        self.partial: list[tuple[int, str]] = []
        """Free units of GPUs that are held in shares, the fullest GPU first."""
        for gpu, free in machine.gpus.items():
            if free == ONE:
                self.unused.append(gpu)
            elif free > 0 and gpu not in machine.whole:
                self.partial.append((scale.of(free), gpu))
        self.unused.sort(reverse=True)
        self.partial.sort()
        self.best = self.partial[-1][0] if self.partial else 0
        self.given: dict[str, int] = {}
        """Units of GPUs that were taken here."""
        self.kept = False
        """Whether it is kept for an older session."""

    def fits(self, demand: Demand) -> bool:
        """Return whether the whole demand fits."""
        spare = len(self.unused) - demand.gpus
        if spare < 0 or (spare == 0 and self.best < demand.share):
            return False
        free = self.free
        for index, amount in demand.amounts:  # noqa: SIM110  # half the time of all(): this is the innermost loop
            if free[index] < amount:
                return False
        return True

    def take(self, demand: Demand, one: int) -> tuple[Grant, ...]:
        """Allocate a demand that fits. Unused GPUs go by name; a share comes from the fullest GPU that still has it."""
        for index, amount in demand.amounts:
            self.free[index] -= amount
        slot = GPU_DEVICE if demand.whole else GPU_SHARES
        grants = [Grant(self.unused.pop(), slot, ONE) for _ in range(demand.gpus)]
        if demand.share:
            grants.append(Grant(self._take_share(demand.share, one), slot, demand.rest))
        for grant in grants:
            self.given[grant.gpu_id] = self.given.get(grant.gpu_id, 0) + (one if grant.amount == ONE else demand.share)
        return tuple(grants)

    def _take_share(self, share: int, one: int) -> str:
        at = bisect_left(self.partial, (share, ""))
        free, gpu = self.partial.pop(at) if at < len(self.partial) else (one, self.unused.pop())
        if free > share:
            insort(self.partial, (free - share, gpu))
        self.best = self.partial[-1][0] if self.partial else 0
        return gpu

    def emptied(self, scale: ResourceScale) -> NodeCapacity:
        """Return the capacity of the node without any session."""
        machine = self.machine
        gpus = dict.fromkeys(machine.gpus, ONE)
        return NodeCapacity(replace(machine, free=machine.total, gpus=gpus, whole=frozenset()), scale)

    def shrink_to(self, other: NodeCapacity) -> None:
        """Reduce free capacity to that of a later state of the same node."""
        self.free, self.unused, self.partial, self.best = other.free, other.unused, other.partial, other.best

    def once_left(self, scale: ResourceScale) -> NodeCapacity:
        """Return the machine's capacity after the sessions that are leaving it have gone."""
        machine = self.machine
        gpus = {gpu: free + machine.leaving_gpus.get(gpu, 0) for gpu, free in machine.gpus.items()}
        stay = frozenset(gpu for gpu in machine.whole if gpus[gpu] != ONE)
        node = NodeCapacity(replace(machine, gpus=gpus, whole=stay), scale)
        leaving = scale.counted(machine.leaving)
        node.free = [free + more for free, more in zip(self.free, leaving, strict=True)]
        for gpu, taken in self.given.items():
            left = next((free for free, name in node.partial if name == gpu), scale.one)
            node.unused = [name for name in node.unused if name != gpu]
            node.partial = [(free, name) for free, name in node.partial if name != gpu]
            if left > taken:
                insort(node.partial, (left - taken, gpu))
        node.best = node.partial[-1][0] if node.partial else 0
        return node

    def most_used_first(self, one: int) -> tuple[int, int, int, str]:
        """Sort key for packing: fewest free GPUs, then least free CPU and memory."""
        gpus = len(self.unused) * one + sum(free for free, _ in self.partial)
        return (gpus, self.free[0], self.free[1], self.machine.id)

    def nearest_first(self, demand: Demand, one: int) -> tuple[int, int, int, str]:
        """Sort key for explanations: the machine with the most of the requested resources first."""
        gpus = len(self.unused) if demand.gpus else 0
        if demand.share and not demand.gpus:
            gpus = one if self.unused else self.best
        return (-gpus, -self.free[0], -self.free[1], self.machine.id)
