"""Connection capacity from the limit of open files (RLIMIT_NOFILE).

Each connection takes a descriptor: what does not fit is bounded at the start, and not met as an error under load.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Final, NamedTuple

RESERVE: Final = 256
"""Descriptors that are no connection of a caller or replica: listening sockets, the in-flight table and its eventfds, channels, logs, Redis, and
connections that are refused."""
_MOST: Final = 1 << 30
LEAST: Final = 2 * RESERVE
"""Fewer descriptors than this are refused at the start."""


class Fit(NamedTuple):
    """Connections and open requests that one worker has descriptors for."""

    connections: int
    open_requests: int


def fit_descriptors(descriptors: int, *, connections: int, open_requests: int) -> Fit:
    """Return the wanted numbers, or what fits: each connection of a caller takes a descriptor, and each open request one more, for its
    replica. At least a third of what there is is for replicas."""
    room = max(descriptors - RESERVE, 3)
    if connections + open_requests <= room:
        return Fit(connections, open_requests)
    asked = max(min(open_requests, room // 3), 1)
    callers = max(min(connections, room - asked), 1)
    return Fit(callers, max(min(open_requests, room - callers), 1))


@dataclass(frozen=True, slots=True)
class ConnectionCapacity:
    """Connections that all workers together have descriptors for. `warning`: why it is less than what is set, None where it is not."""

    connections: int
    warning: str | None

    @classmethod
    def of(cls, workers: int, descriptors: int, connections: int, open_requests: int) -> ConnectionCapacity:
        """Return the capacity of so many workers with so many descriptors each."""
        number = max(workers, 1)
        wanted = Fit(-(-connections // number), -(-open_requests // number))
        fits = fit_descriptors(descriptors, connections=wanted.connections, open_requests=wanted.open_requests)
        if fits == wanted:
            return cls(connections, None)
        return cls(
            fits.connections * number,
            f"a process may have {descriptors} open files (ulimit -n, LimitNOFILE), so that {fits.connections * number} connections "
            f"and {fits.open_requests * number} open requests fit; set are {connections} and {open_requests}",
        )

    def full(self, connections: int) -> str | None:
        """Return what to say while no further connection is taken."""
        full = connections >= self.connections
        return f"{connections} of {self.connections} connections: further ones are answered 503" if full else None


def raise_limit() -> int:
    """Raise the number of descriptors that this process, and those it starts, may have open to the most that is allowed; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return descriptor_limit()


def descriptor_limit() -> int:
    """Return how many descriptors this process may have open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST if soft == resource.RLIM_INFINITY else min(soft, _MOST)
