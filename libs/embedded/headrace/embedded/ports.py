"""TCP ports of the stack: free when chosen, the same after a restart, chosen again if one was taken."""

from __future__ import annotations

import errno
import json
import random
import socket
from collections.abc import Callable, Iterable
from pathlib import Path

from headrace.common.runtime.files import write_atomically
from headrace.embedded.errors import AddressNotUsableError

LOW, HIGH = 10_000, 19_999
"""Below the agents' kernel ports (20000 and up) and below Linux' range for outgoing connections (32768 and up), so that
no client's connection takes a server's port while that server restarts."""

HOST = "127.0.0.1"


def is_free(port: int, host: str = HOST) -> bool:
    """Return True if a server could listen on `host`:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections in TIME_WAIT are no obstacle
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def check_address(host: str, asked: Iterable[int | None]) -> None:
    """Raise AddressNotUsableError if `host` cannot be listened on, or a requested port could not even if it were free."""
    for port in (None, *asked):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port or 0))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise AddressNotUsableError(host, port, error.strerror or str(error)) from error


class Ports:
    """Ports by name, stored in one private JSON file.

    A port is reserved until `close` by a name in the machine's network namespace (an abstract socket): of two stacks
    that start at once, the second does not choose it while the first one's server is not listening yet.
    """

    def __init__(self, file: Path, *, free: Callable[[int, str], bool] = is_free) -> None:
        self._file, self._free = file, free
        self._known: dict[str, int] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        self._held: dict[int, socket.socket] = {}

    def take(self, name: str, *, wanted: int | None = None, host: str = HOST) -> int:
        """Return a free port for `name`: `wanted` if it is free, else the stored one, else a new one."""
        candidates = [port for port in (wanted, self._known.get(name)) if port is not None]
        port = next((port for port in candidates if self._claim(port, host)), None) or self._new(host)
        if self._known.get(name) != port:
            self._known[name] = port
            write_atomically(self._file, json.dumps(self._known, indent=1, sort_keys=True) + "\n")
        return port

    def usable(self, port: int, host: str) -> bool:
        """Return True if a server could listen there, and no other one has reserved it."""
        return port not in self._held and self._free(port, host)

    def give_back(self, *names: str) -> None:
        """Release these ports."""
        for name in names:
            if (held := self._held.pop(self._known.get(name, 0), None)) is not None:
                held.close()

    def close(self) -> None:
        """Release all ports."""
        for name in self._held.values():
            name.close()
        self._held.clear()

    def _claim(self, port: int, host: str) -> bool:
        """Reserve the port for this stack; return False if another one has it."""
        if not self.usable(port, host):
            return False
        name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            name.bind(f"\0headrace-port-{port}")
        except OSError:  # another stack is about to listen there
            name.close()
            return False
        self._held[port] = name
        return True

    def _new(self, host: str) -> int:
        order = list(range(LOW, HIGH + 1))
        random.SystemRandom().shuffle(order)
        taken = set(self._known.values())
        return next(port for port in order if port not in taken and self._claim(port, host))
