"""Host port allocation: the choice of a free port from the pool."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PortRange:
    """Range of host ports, `first` and `last` included."""

    first: int
    last: int

    @classmethod
    def parse(cls, text: str) -> PortRange:
        """Parse a range such as `20000-20999`. Raises ValueError, whose text says which are allowed."""
        first, dash, last = text.partition("-")
        if not (dash and first.strip().isdigit() and last.strip().isdigit()):
            raise ValueError(f"{text!r} is not a port range; allowed: first-last, for example 20000-20999")
        found = cls(int(first), int(last))
        if not 1024 <= found.first <= found.last <= 65535:
            raise ValueError(f"{text!r} is out of range; allowed: 1024-65535, first not above last")
        return found

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def __len__(self) -> int:
        return self.last - self.first + 1


def choose_port(
    pool: PortRange, taken: Collection[int], is_free: Callable[[int], bool], *, after: int | None = None
) -> int | None:
    """Return the first port after `after`, round robin, that is not `taken` and `is_free`; None when there is none.

    Round robin leaves a released port unused for long, so that late connections to an old kernel do not reach a new
    one.
    """
    start = pool.first if after is None or not pool.first <= after < pool.last else after + 1
    for offset in range(len(pool)):
        port = pool.first + (start - pool.first + offset) % len(pool)
        if port not in taken and is_free(port):
            return port
    return None
