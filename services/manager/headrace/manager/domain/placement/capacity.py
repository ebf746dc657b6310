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
_BLOCK = 32


class ResourceScale:
    """The common unit of all amounts: which slots are counted, in which order, and how large it is."""

    def __init__(self, slots: Iterable[Mapping[str, Decimal]], machines: Sequence[Machine]) -> None:
        asked = list(slots)
        counted = {name for amounts in asked for name in amounts} - {CPU, MEM, GPU_DEVICE, GPU_SHARES}
        self.names = (CPU, MEM, *sorted(counted))
        self.index = {name: index for index, name in enumerate(self.names)}
        denominators = {1}
        for amounts in (
            *asked,
            *(m.free for m in machines),
            *(m.total for m in machines),
            *(m.leaving for m in machines),
        ):
            for amount in amounts.values():
                denominators.add(amount.as_integer_ratio()[1])
        for machine in machines:
            for share in (*machine.gpus.values(), *machine.leaving_gpus.values()):
                if share and share != ONE:  # nearly all are 0 or 1
                    denominators.add(share.as_integer_ratio()[1])
        self.one = lcm(*denominators)

    def of(self, amount: Decimal) -> int:
        """Return the amount in units, exactly."""
        numerator, denominator = amount.as_integer_ratio()
        return numerator * (self.one // denominator)

    def counted(self, amounts: Mapping[str, Decimal]) -> list[int]:
        """Return the amounts of all counted slots in order, 0 where there is none."""
        return [self.of(amounts[name]) if name in amounts else 0 for name in self.names]


class Demand:
    """What one kind of session asks for, in units."""

    __slots__ = ("amounts", "counted", "gpus", "rest", "share", "slots", "whole")

    def __init__(self, scale: ResourceScale, slots: Mapping[str, Decimal]) -> None:
        self.slots = slots
        self.counted = {
            name: amount for name, amount in slots.items() if amount > 0 and name not in (GPU_DEVICE, GPU_SHARES)
        }
        self.amounts = tuple((scale.index[name], scale.of(amount)) for name, amount in self.counted.items())
        self.whole = bool(slots.get(GPU_DEVICE))
        shares = Decimal(0) if self.whole else slots.get(GPU_SHARES, Decimal(0))
        self.gpus = int(slots[GPU_DEVICE]) if self.whole else int(shares)
        """GPUs that must be unused."""
        self.rest = _EXACT.subtract(shares, Decimal(self.gpus)) if not self.whole else Decimal(0)
        """A share of one more GPU, and the same in units."""
        self.share = scale.of(self.rest)


class NodeCapacity:
    """What is free on one machine; take() makes it less."""

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
        """Whether all of the demand is free here."""
        spare = len(self.unused) - demand.gpus
        if spare < 0 or (spare == 0 and self.best < demand.share):
            return False
        free = self.free
        for index, amount in demand.amounts:  # noqa: SIM110  # half the time of all(): this is the innermost loop
            if free[index] < amount:
                return False
        return True

    def take(self, demand: Demand, one: int) -> tuple[Grant, ...]:
        """Take what fits. Unused GPUs go by name; a share comes from the fullest GPU that still has it."""
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

    def once_left(self, scale: ResourceScale) -> NodeCapacity:
        """Return the node as it will be once those have gone that leave the machine by themselves."""
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
        """Sort key: least free GPUs, then least free CPU and memory."""
        gpus = len(self.unused) * one + sum(free for free, _ in self.partial)
        return (gpus, self.free[0], self.free[1], self.machine.id)

    def nearest_first(self, demand: Demand, one: int) -> tuple[int, int, int, str]:
        """Sort key: the most of what is asked for first."""
        gpus = len(self.unused) if demand.gpus else 0
        if demand.share and not demand.gpus:
            gpus = one if self.unused else self.best
        return (-gpus, -self.free[0], -self.free[1], self.machine.id)


class Block:
    """Neighbours in an index, with upper bounds of what any of them has free; that only shrinks, so they stay true."""

    __slots__ = ("best", "free", "nodes", "unused")

    def __init__(self, nodes: Sequence[NodeCapacity]) -> None:
        self.nodes = nodes
        self.tighten()

    def tighten(self) -> None:
        """Look again."""
        self.unused = max(len(node.unused) for node in self.nodes)
        self.best = max(node.best for node in self.nodes)
        self.free = [max(amounts) for amounts in zip(*(node.free for node in self.nodes), strict=True)]

    def may_fit(self, demand: Demand) -> bool:
        """False when none of them can."""
        if self.unused < demand.gpus or (self.unused == demand.gpus and self.best < demand.share):
            return False
        free = self.free
        for index, amount in demand.amounts:  # noqa: SIM110  # half the time of all(): this is the innermost loop
            if free[index] < amount:
                return False
        return True


class CandidateIndex:
    """Nodes to which sessions of one group, architecture and kind may go, the most used first, as it was when the pass began."""

    def __init__(self, nodes: Iterable[NodeCapacity], one: int) -> None:
        self.nodes = sorted(nodes, key=lambda node: node.most_used_first(one))
        self._blocks = [Block(self.nodes[at : at + _BLOCK]) for at in range(0, len(self.nodes), _BLOCK)]

    def first(self, demand: Demand, start: int) -> int | None:
        """Return the place of the first node from `start` on that fits and is not kept; None if there is none."""
        for number in range(start // _BLOCK, len(self._blocks)):
            block = self._blocks[number]
            if not block.may_fit(demand):
                continue
            base = number * _BLOCK
            for at in range(max(start, base), base + len(block.nodes)):
                node = self.nodes[at]
                if node.fits(demand) and not node.kept:
                    return at
            block.tighten()
        return None
