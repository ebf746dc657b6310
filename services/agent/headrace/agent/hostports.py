"""Host port allocation: ports from the pool that are free on the machine, held bound until the kernel's program takes them."""

from __future__ import annotations

import socket
from collections.abc import Collection
from contextlib import suppress

from headrace.agent.domain.ports import PortRange, choose_port
from headrace.agent.runtime.interface import StartRefused
from headrace.common.contracts.reasons.kernel import KernelReason


class HostPorts:
    """Allocator of host ports. The caller says which are `taken`: kernel records are the only register.

    Agents of one machine may share a range: for every port of its kernels each agent holds a name in the machine's
    network namespace (an abstract socket), also before their programs listen. The port itself is kept bound from the
    choice until `release`, so that nobody else takes it while the kernel is being prepared.
    """

    def __init__(self, pool: PortRange, bind_address: str, *, after: int | None = None) -> None:
        """Start after the port `after`; None: at the pool's first.

        Ports are allocated round robin, so that a released one stays unused for long: an app-proxy that is cut off from
        the bus sends requests there until it hears of the end. A restarted agent that began at the same port each time
        would give it to another kernel at once; so would another agent of the machine.
        """
        self._pool = pool
        self._address = bind_address
        self._last = after
        self._names: dict[int, socket.socket] = {}
        self._bound: dict[int, socket.socket] = {}

    def choose(self, taken: Collection[int]) -> int:
        """Allocate a port that nobody holds and nobody listens on. Raises StartRefused when there is none."""
        for port in self._names.keys() - set(taken):
            self.release(port)
            self._names.pop(port).close()
        for port in set(taken) - self._names.keys():
            self._claim(port)
        chosen = choose_port(self._pool, taken, self._is_free, after=self._last)
        if chosen is None:
            raise StartRefused(
                KernelReason.NO_FREE_PORT, f"all {len(self._pool)} ports of {self._pool} are taken on this machine"
            )
        self._last = chosen
        self._bind(chosen)
        return chosen

    def release(self, port: int) -> None:
        """Unbind the port, so that the kernel's program can take it."""
        bound = self._bound.pop(port, None)
        if bound is not None:
            bound.close()

    def close(self) -> None:
        """Release all ports and names."""
        for held in (*self._bound.values(), *self._names.values()):
            held.close()
        self._bound.clear()
        self._names.clear()

    def _is_free(self, port: int) -> bool:
        """Return whether the address and the wildcard address can be bound (a wildcard listener occupies both)."""
        if not all(_can_bind(address, port) for address in {self._address, "0.0.0.0"}):
            return False
        return self._claim(port)

    def _claim(self, port: int) -> bool:
        name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            name.bind(f"\0headrace-host-port-{port}")
        except OSError:  # another agent of this machine has it
            name.close()
            return False
        self._names[port] = name
        return True

    def _bind(self, port: int) -> None:
        """Keep the port bound where possible: connections in TIME_WAIT may prevent it."""
        bound = socket.socket(_family(self._address), socket.SOCK_STREAM)
        with suppress(OSError):
            bound.bind((self._address, port))
            self._bound[port] = bound
            return
        bound.close()


def _can_bind(address: str, port: int) -> bool:
    with socket.socket(_family(address), socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
