"""Load-balancing policies: least requests with two choices, weighted round robin, slow start.

Power of two choices: of two random replicas, drawn by weight, the one with less load per weight. It keeps the maximum
load near the mean without herding and needs no state (Mitzenmacher 2001).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from typing import Protocol, TypeVar


class Candidate(Protocol):
    """Replica that may be picked. `share` (0 to 1) is the part of its weight that counts during slow start."""

    key: str
    weight: int
    share: float

    @property
    def in_flight(self) -> int:
        """Open requests."""


C = TypeVar("C", bound=Candidate)


def effective_weight(candidate: Candidate) -> float:
    """Return the weight times the slow-start share; never 0, so that a new replica gets its first requests."""
    return max(candidate.weight * candidate.share, 1e-9)


class Weights:
    """Prepared weights of a list of candidates for random draws; invalid once a candidate, weight or share changes."""

    __slots__ = ("_bounds", "_each")

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        self._each = [effective_weight(candidate) for candidate in candidates]
        self._bounds = list(accumulate(self._each))

    def draw_two(self, chance: Callable[[], float]) -> tuple[int, int]:
        """Return the indexes of two different candidates (of at least two), drawn by weight. `chance` returns numbers
        in [0, 1).
        """
        each, bounds = self._each, self._bounds
        most = len(each) - 1
        if most == 1:
            return (0, 1) if chance() * bounds[1] < each[0] else (1, 0)
        at = min(bisect_right(bounds, chance() * bounds[most]), most)
        one = each[at]
        # The second is drawn from the others with the same prefix sums, skipping the first one's part.
        point = chance() * (bounds[most] - one)
        other = min(bisect_right(bounds, point if point < bounds[at] - one else point + one), most)
        if other == at:  # rounding
            other = at - 1 if at else 1
        return at, other

    def prefers_other(self, at: int, in_flight: int, other: int, others_in_flight: int) -> bool:
        """Return True if the second one, with this request added, has no more load per weight than the first one has
        now.
        """
        return in_flight * self._each[other] >= (others_in_flight + 1) * self._each[at]


def least_in_flight(candidates: Sequence[C], chance: Callable[[], float]) -> C:
    """Return the less loaded of two random candidates (power of two choices). `chance` returns numbers in [0, 1)."""
    if len(candidates) == 1:
        return candidates[0]
    weights = Weights(candidates)
    at, other = weights.draw_two(chance)
    first, second = candidates[at], candidates[other]
    return second if weights.prefers_other(at, first.in_flight, other, second.in_flight) else first


class SmoothWeightedRoundRobin:
    """Smooth weighted round robin: over as many picks as the weights sum to, each replica gets exactly its weight,
    interleaved.

    Source: nginx's upstream module (2012). Credits of replicas that stay survive a new table.
    """

    def __init__(self) -> None:
        self._credit: dict[str, float] = {}

    def keep_only(self, keys: Mapping[str, object]) -> None:
        """Forget replicas that left."""
        for key in [key for key in self._credit if key not in keys]:
            del self._credit[key]

    def pick(self, candidates: Sequence[C]) -> C:
        """Return the next of `candidates` (at least one)."""
        credit = self._credit
        best = candidates[0]
        most = float("-inf")
        total = 0.0
        for candidate in candidates:
            weight = candidate.weight * candidate.share
            total += weight
            now = credit[candidate.key] = credit.get(candidate.key, 0.0) + weight
            if now > most:
                most, best = now, candidate
        credit[best.key] -= total
        return best


def slow_start_share(age_s: float, slow_start_s: float) -> float:
    """Return the part of its weight that a replica of this age has: from a tenth, linearly to the whole."""
    if age_s >= slow_start_s:
        return 1.0
    return 0.1 + 0.9 * max(age_s, 0.0) / slow_start_s
