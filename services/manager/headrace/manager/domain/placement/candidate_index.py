"""Index of candidate nodes (segment tree): finds the first that fits, without visiting each node."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from headrace.manager.domain.placement.capacity import Demand, NodeCapacity

_FANOUT: Final = 16


class CapacityBound:
    """Upper bound of the free capacity of some nodes.

    Free capacity only shrinks, so it stays valid; a search tightens it.
    """

    __slots__ = ("best", "free", "unused")
    unused: int
    best: int
    free: list[int]

    def may_fit(self, demand: Demand) -> bool:
        """Return False when none of the nodes can fit the demand."""
        if self.unused < demand.gpus or (self.unused == demand.gpus and self.best < demand.share):
            return False
        free = self.free
        for index, amount in demand.amounts:  # noqa: SIM110  # half the time of all(): this is the innermost loop
            if free[index] < amount:
                return False
        return True


class Block(CapacityBound):
    """Leaf of the index: adjacent nodes, and the position of the first."""

    __slots__ = ("end", "nodes", "start")

    def __init__(self, nodes: Sequence[NodeCapacity], start: int) -> None:
        self.nodes = nodes
        self.start: int = start
        self.end: int = start + len(nodes)
        self.tighten()

    def tighten(self) -> None:
        """Recompute the bounds from the nodes."""
        self.unused = max(len(node.unused) for node in self.nodes)
        self.best = max(node.best for node in self.nodes)
        self.free = [max(amounts) for amounts in zip(*(node.free for node in self.nodes), strict=True)]

    def first(self, demand: Demand, start: int) -> int | None:
        """Return the position of the first node from `start` on that fits and is not reserved; None if there is none."""
        at = max(start, self.start)
        for node in self.nodes[at - self.start :]:
            if node.fits(demand) and not node.kept:
                return at
            at += 1
        self.tighten()
        return None


class Branch(CapacityBound):
    """Inner node of the index: adjacent blocks or branches."""

    __slots__ = ("end", "parts", "start")

    def __init__(self, parts: Sequence[Block] | Sequence[Branch]) -> None:
        self.parts = parts
        self.start: int = parts[0].start
        self.end: int = parts[-1].end
        self.tighten()

    def tighten(self) -> None:
        """Recompute the bounds from the parts."""
        self.unused = max(part.unused for part in self.parts)
        self.best = max(part.best for part in self.parts)
        self.free = [max(amounts) for amounts in zip(*(part.free for part in self.parts), strict=True)]

    def first(self, demand: Demand, start: int) -> int | None:
        """Return the position of the first node from `start` on that fits and is not reserved; None if there is none."""
        for part in self.parts:
            if part.end > start and part.may_fit(demand):
                at = part.first(demand, start)
                if at is not None:
                    return at
        self.tighten()
        return None


class CandidateIndex:
    """Index of the nodes that one resource group, architecture and kind may use, the most used first when it is built.

    A segment tree over bounds of free capacity: a demand that fits nowhere is rejected at its root, without visiting
    the nodes.
    """

    def __init__(self, nodes: Iterable[NodeCapacity], one: int) -> None:
        self.nodes = sorted(nodes, key=lambda node: node.most_used_first(one))
        blocks = [Block(self.nodes[at : at + _FANOUT], at) for at in range(0, len(self.nodes), _FANOUT)]
        level: Sequence[Block] | Sequence[Branch] = blocks
        while len(level) > 1:
            level = [Branch(level[at : at + _FANOUT]) for at in range(0, len(level), _FANOUT)]
        self._root = level[0] if level else None

    def first(self, demand: Demand, start: int) -> int | None:
        """Return the position of the first node from `start` on that fits and is not reserved; None if there is none."""
        if self._root is None or not self._root.may_fit(demand):
            return None
        return self._root.first(demand, start)
