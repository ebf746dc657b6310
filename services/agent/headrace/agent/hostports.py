"""Host ports: from the pool, and really free."""

from __future__ import annotations

import socket
from collections.abc import Collection

from headrace.agent.domain.ports import PortRange, choose_port
from headrace.agent.runtime.interface import StartRefused


class HostPorts:
    """Gives out ports. Who holds one is said by the caller (`taken`): kernels' records are the only book."""

    def __init__(self, pool: PortRange, bind_address: str) -> None:
        self._pool = pool
        self._address = bind_address
        self._last: int | None = None

    def choose(self, taken: Collection[int]) -> int:
        """Return a port that nobody holds and nobody listens on. Raises StartRefused when there is none."""
        port = choose_port(self._pool, taken, self._is_free, after=self._last)
        if port is None:
            raise StartRefused("no-free-port", f"all {len(self._pool)} ports of {self._pool} are taken on this machine")
        self._last = port
        return port

    def _is_free(self, port: int) -> bool:
        """Try the wanted address, and any: a program that listens everywhere has it too."""
        return all(_can_bind(address, port) for address in {self._address, "0.0.0.0"})


def _can_bind(address: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return False
    return True
