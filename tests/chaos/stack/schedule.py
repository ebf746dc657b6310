"""Schedule of faults: drawn from a seed, each step independently, so that one can be repeated alone. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random

TOGETHER = 0.25
"""Share of the steps with two faults."""
AT_ONCE = 0.4
"""Share of the steps that may begin while the one before is being recovered from and do."""
_ENDS_REPLICAS = frozenset({"kill-replica", "stop-replica", "kill-shim"})
"""Two of these at once could leave a service without a replica, and it may cost its callers something then."""


@dataclass(frozen=True)
class Step:
    """Faults that begin together. Their parameters are drawn from `chance(seed)`."""

    number: int
    kinds: tuple[str, ...]
    at_once: bool
    """Whether they begin although not all is as wanted yet after the step before."""

    def chance(self, seed: int) -> Random:
        """Return the step's own random generator."""
        return Random(f"{seed}/{self.number}")


def steps(seed: int, kinds: Sequence[str]) -> Iterator[Step]:
    """Yield steps without end: every kind once in random order, then every kind again in another order."""
    before: set[str] = set()
    """What all is not recovered from yet."""
    for number in count(1):
        turn, place = divmod(number - 1, len(kinds))
        order = list(kinds)
        Random(f"{seed}/turn/{turn}").shuffle(order)
        first = order[place]
        chance = Random(f"{seed}/beside/{number}")
        others = [kind for kind in kinds if _may_meet(first, kind)]
        together = (first, chance.choice(others)) if others and chance.random() < TOGETHER else (first,)
        at_once = chance.random() < AT_ONCE and not (before & _ENDS_REPLICAS and {*together} & _ENDS_REPLICAS)
        at_once = at_once and number > 1
        before = before | {*together} if at_once else {*together}
        yield Step(number, together, at_once)


def _may_meet(one: str, other: str) -> bool:
    """Return whether two kinds may begin together.

    Two signals to one part would undo each other, and without the supervisor nothing else runs.
    """
    return (
        "kill-up" not in {one, other}
        and one != other
        and one.partition("-")[2] != other.partition("-")[2]
        and not {one, other} <= _ENDS_REPLICAS
    )
