"""Connection capacity from the limit of open files (RLIMIT_NOFILE).

Each connection takes a descriptor: connections beyond the limit are refused from the start, instead of failing under
load.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from typing import Final, NamedTuple

RESERVE: Final = 256
"""Descriptors besides downstream and upstream connections: listening sockets, the in-flight table and its eventfds,
channels, logs, Redis, and connections that are being refused."""
_MAX: Final = 1 << 30
MIN: Final = 2 * RESERVE
"""Fewer descriptors than this are refused at the start."""


class DescriptorBudget(NamedTuple):
    """Connections and open requests that fit one worker's descriptor limit."""

    connections: int
    open_requests: int


def fit_descriptors(descriptors: int, *, connections: int, open_requests: int) -> DescriptorBudget:
    """Return the configured numbers, reduced to the descriptor limit.

    A downstream connection takes one descriptor, an open request one more for its replica. At least a third of the
    descriptors stays for replicas.
    """
    room = max(descriptors - RESERVE, 3)
    if connections + open_requests <= room:
        return DescriptorBudget(connections, open_requests)
    asked = max(min(open_requests, room // 3), 1)
    callers = max(min(connections, room - asked), 1)
    return DescriptorBudget(callers, max(min(open_requests, room - callers), 1))


@dataclass(frozen=True, slots=True)
class ConnectionCapacity:
    """Downstream connections that the descriptor limits of all workers allow. `warning`: why they are fewer than
    configured, else None.
    """

    connections: int
    warning: str | None

    @classmethod
    def of(cls, workers: int, descriptors: int, connections: int, open_requests: int) -> ConnectionCapacity:
        """Return the capacity of `workers` workers with `descriptors` descriptors each."""
        number = max(workers, 1)
        wanted = DescriptorBudget(-(-connections // number), -(-open_requests // number))
        fits = fit_descriptors(descriptors, connections=wanted.connections, open_requests=wanted.open_requests)
        if fits == wanted:
            return cls(connections, None)
        return cls(
            fits.connections * number,
            f"a process may have {descriptors} open files (ulimit -n, LimitNOFILE), so that {fits.connections * number} connections "
            f"and {fits.open_requests * number} open requests fit; set are {connections} and {open_requests}",
        )

    def full(self, connections: int) -> str | None:
        """Return the readiness warning while no further connection is accepted, else None."""
        full = connections >= self.connections
        return f"{connections} of {self.connections} connections: further ones are answered 503" if full else None


def raise_limit() -> int:
    """Raise this process's soft limit of open files to the hard limit and return it; child processes inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return descriptor_limit()


def descriptor_limit() -> int:
    """Return this process's soft limit of open files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MAX if soft == resource.RLIM_INFINITY else min(soft, _MAX)
