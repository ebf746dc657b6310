"""TCP ports of the stack: free when chosen, the same after a restart, chosen anew if somebody else took one."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Callable
from pathlib import Path

from headrace.embedded.private import write_private

LOW, HIGH = 10_000, 19_999
"""Below the agents' kernel ports (20000 and up) and below Linux' range for outgoing connections (32768 and up),
so that no connection of a client happens to sit on a server's port while that server restarts."""

HOST = "127.0.0.1"


def is_free(port: int, host: str = HOST) -> bool:
    """Return whether a server could listen on `host`:`port` now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # closing connections are no obstacle
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


class Ports:
    """Names → ports, remembered in one private JSON file."""

    def __init__(self, file: Path, *, free: Callable[[int, str], bool] = is_free) -> None:
        self._file, self._free = file, free
        self._known: dict[str, int] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        self._given: set[int] = set()

    def take(self, name: str, *, wanted: int | None = None, host: str = HOST) -> int:
        """Return a free port for `name`: `wanted` if it is free, else the remembered one, else a new one."""
        candidates = [port for port in (wanted, self._known.get(name)) if port is not None]
        port = next((port for port in candidates if self.usable(port, host)), None) or self._new(host)
        self._given.add(port)
        if self._known.get(name) != port:
            self._known[name] = port
            write_private(self._file, json.dumps(self._known, indent=1, sort_keys=True) + "\n")
        return port

    def usable(self, port: int, host: str) -> bool:
        """Return whether a server could listen there, and no other one was given it."""
        return port not in self._given and self._free(port, host)

    def _new(self, host: str) -> int:
        order = list(range(LOW, HIGH + 1))
        random.SystemRandom().shuffle(order)
        taken = set(self._known.values())
        return next(port for port in order if port not in taken and self.usable(port, host))
