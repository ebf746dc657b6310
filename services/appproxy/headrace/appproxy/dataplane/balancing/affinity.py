"""Session and prefix affinity: consistent hashing with bounded loads (Mirrokni, Thorup, Zadimoghaddam 2016)."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Generic

from xxhash import xxh3_64_intdigest

from headrace.appproxy.dataplane.balancing.policies import C, effective_weight

_POINTS = 100
"""Points on the ring of a replica of mean weight: more points distribute keys more evenly."""
_MAX_POINTS = 20_000


def hash_key(value: bytes) -> int:
    """Return the position of a session key or a prompt prefix on the hash ring."""
    return xxh3_64_intdigest(value)


class HashRing(Generic[C]):
    """Consistent-hash ring of one table's replicas. A replica that joins or leaves moves only its own keys."""

    def __init__(self, candidates: Sequence[C]) -> None:
        self._candidates = {candidate.key: candidate for candidate in candidates}
        total = sum(candidate.weight for candidate in candidates)
        mean = total / len(candidates) if candidates else 1
        spots: list[tuple[int, str]] = []
        for candidate in candidates:
            wanted = round(_POINTS * candidate.weight / mean)
            number = max(1, min(wanted, _MAX_POINTS // len(candidates)))
            spots += [(xxh3_64_intdigest(f"{candidate.key}/{n}".encode()), candidate.key) for n in range(number)]
        spots.sort()
        self._places = [place for place, _ in spots]
        self._keys = [key for _, key in spots]

    def pick(self, key: int, candidates: Sequence[C], load_factor: float) -> C:
        """Return the first of `candidates` from the key's position on that has room: at most `load_factor` times its
        share of the load.
        """
        wanted = {candidate.key for candidate in candidates}
        load = sum(candidate.in_flight for candidate in candidates) + 1
        total = sum(effective_weight(candidate) for candidate in candidates)
        seen: set[str] = set()
        start = bisect_right(self._places, key)
        for step in range(len(self._keys)):
            name = self._keys[(start + step) % len(self._keys)]
            if name in seen or name not in wanted:
                continue
            seen.add(name)
            candidate = self._candidates[name]
            # Rounded up, so that there is always room somewhere.
            if candidate.in_flight + 1 <= -(-load_factor * load * effective_weight(candidate) // total):
                return candidate
            if len(seen) == len(wanted):
                break
        return min(candidates, key=lambda candidate: candidate.in_flight / effective_weight(candidate))
