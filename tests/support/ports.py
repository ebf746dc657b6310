"""Allocation of TCP ports for tests that run in parallel: no two test processes of this machine get the same one.

A process leases blocks of ports by holding a name in the machine's network namespace (an abstract socket), which ends
with the process. The blocks lie above the ports that embedded stacks choose for their servers (10000 to 19999) and give
to the kernels of their agents (20000 and up), and below those that Linux uses for outgoing connections (32768 and up).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

FIRST, LAST = 24_000, 32_767
SIZE = 64
ENOUGH = 4
"""Blocks of one process from which single ports are given out in turn; by the time one comes again, its user is gone."""


@dataclass
class Leases:
    """Port blocks of this process."""

    blocks: list[range] = field(default_factory=list)
    names: dict[int, socket.socket] = field(default_factory=dict)
    given: int = 0

    def lease(self) -> range:
        """Lease a block that no other process has, until `end` or until the process ends."""
        starts = range(FIRST, LAST + 2 - SIZE, SIZE)
        after = os.getpid() % len(starts)
        for start in (*starts[after:], *starts[:after]):
            name = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            try:
                name.bind(f"\0headrace-test-ports-{start}")
            except OSError:
                name.close()
                continue
            self.names[start] = name
            return range(start, start + SIZE)
        raise RuntimeError(f"all ports from {FIRST} to {LAST} are leased by test processes")

    def end(self, block: range) -> None:
        """Release the block."""
        self.names.pop(block.start).close()

    def next_port(self) -> int:
        """Return the next free port of this process."""
        for _ in range(ENOUGH * SIZE):
            at = self.given % (ENOUGH * SIZE)
            self.given += 1
            if at // SIZE == len(self.blocks):
                self.blocks.append(self.lease())
            port = self.blocks[at // SIZE][at % SIZE]
            if _is_free(port):
                return port
        raise RuntimeError(f"none of {ENOUGH * SIZE} ports is free")

    def forget(self) -> None:
        """Drop all leases without releasing them, in a forked child: they are the parent's."""
        for name in self.names.values():
            name.close()
        self.names.clear()
        self.blocks.clear()
        self.given = 0


_LEASES = Leases()
os.register_at_fork(after_in_child=_LEASES.forget)


def _is_free(port: int) -> bool:
    """Return whether nobody listens there, on any address, and no connection is in TIME_WAIT."""
    with socket.socket() as probe:
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a free port that no other test process gets."""
    return _LEASES.next_port()


@contextmanager
def port_range() -> Iterator[tuple[int, int]]:
    """Yield the first and last port of a range for one agent."""
    block = _LEASES.lease()
    try:
        yield block[0], block[-1]
    finally:
        _LEASES.end(block)
