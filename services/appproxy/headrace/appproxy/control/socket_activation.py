"""Socket activation: listening sockets inherited at the start, and kept across restarts by the service manager.

Both are systemd's protocols: socket activation (LISTEN_FDS, sd_listen_fds(3)) passes sockets, and the file descriptor
store (FDSTORE=1 on NOTIFY_SOCKET, sd_pid_notify_with_fds(3)) keeps sockets that were opened here. `headrace up`
implements them too. While the service manager holds the sockets, connections wait in their backlog for the next
app-proxy, and are not refused.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import dataclass

import structlog

from headrace.common.runtime.service_manager import NOTIFY_SOCKET, NotifySocket

log = structlog.get_logger()
_FIRST = 3
"""SD_LISTEN_FDS_START."""
_MAX = 4096
_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES")
SHARED, OWN = "shared", "own"
"""Name prefixes of sockets opened here: on the shared port, and on services' own ports."""


@dataclass(frozen=True, slots=True)
class InheritedSocket:
    """Listening socket inherited at the start. `port` is 0 for a Unix socket."""

    name: str
    sock: socket.socket
    port: int


def inherited_descriptors(environ: MutableMapping[str, str], pid: int) -> list[tuple[str, int]]:
    """Return name and number of each descriptor passed to the process `pid` (LISTEN_FDS, LISTEN_FDNAMES). Pure."""
    said, number = environ.get("LISTEN_PID", ""), environ.get("LISTEN_FDS", "")
    if said != str(pid) or not number.isdigit() or not number.isascii():
        return []
    names = environ.get("LISTEN_FDNAMES", "").split(":")
    count = min(int(number), _MAX)
    return [(names[at] if at < len(names) else "unknown", _FIRST + at) for at in range(count)]


class InheritedSockets:
    """Inherited listening sockets by port, and the service manager's file descriptor store for sockets opened here."""

    def __init__(self, given: list[InheritedSocket] | None = None, notify: str = "") -> None:
        self._unclaimed = given or []
        self._manager = NotifySocket(notify)

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str], pid: int) -> InheritedSockets:
        """Take the inherited sockets from the environment, and remove their variables so that child processes do not
        see them. NOTIFY_SOCKET is left for the service's own reports, which remove it.
        """
        given = [
            one
            for name, fd in inherited_descriptors(environ, pid)
            if (one := _as_listening_socket(name, fd)) is not None
        ]
        kept = cls(given, environ.get(NOTIFY_SOCKET, ""))
        for name in _VARIABLES:
            environ.pop(name, None)
        return kept

    @property
    def has_store(self) -> bool:
        """True if the service manager has a file descriptor store for sockets that are opened here."""
        return self._manager.there

    @property
    def unclaimed(self) -> list[InheritedSocket]:
        """Return the inherited sockets that are not claimed yet."""
        return list(self._unclaimed)

    def claim(self, port: int, most: int) -> list[socket.socket]:
        """Return the inherited sockets of this port, sorted by name; the caller owns them.

        Port 0 returns those of a port that was once shared. Sockets beyond `most` are closed: nobody would accept on
        them, and callers would hang in their backlog.
        """
        mine = [one for one in self._unclaimed if (one.port == port if port else one.name.startswith(f"{SHARED}."))]
        self._unclaimed = [one for one in self._unclaimed if one not in mine]
        mine.sort(key=lambda one: _number(one.name))
        self._close(mine[most:])
        return [one.sock for one in mine[:most]]

    def close_unclaimed(self) -> None:
        """Close the sockets that nobody claimed, and remove them from the descriptor store."""
        self._close(self._unclaimed)
        self._unclaimed = []

    def _close(self, some: list[InheritedSocket]) -> None:
        for one in some:
            one.sock.close()
            self.remove(one.name)

    def store(self, name: str, sock: socket.socket) -> None:
        """Store a socket in the service manager's descriptor store under this name (`name_of`)."""
        self._notify_manager(f"FDSTORE=1\nFDNAME={name}", [sock.fileno()])

    def remove(self, name: str) -> None:
        """Remove the sockets with this name from the descriptor store, which closes them there."""
        self._notify_manager(f"FDSTOREREMOVE=1\nFDNAME={name}", [])

    def _notify_manager(self, text: str, fds: list[int]) -> None:
        if (why := self._manager.send(text, fds)) is not None:
            log.warning("socket_not_stored", why=why)


def name_of(kind: str, port: int, number: int) -> str:
    """Return the name of a stored socket.

    It has the port, so that removing the socket of a changed port does not remove the one opened in its place.
    """
    return f"{kind}.{port}.{number}"


def _number(name: str) -> int:
    last = name.rpartition(".")[2]
    return int(last) if last.isdigit() and last.isascii() else 0


def _as_listening_socket(name: str, fd: int) -> InheritedSocket | None:
    """Return the descriptor as a listening socket, or None (and leave it open) for anything else."""
    try:
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
    except OSError:
        return None
    with suppress(OSError):
        if sock.type == socket.SOCK_STREAM and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            sock.setblocking(False)
            address = sock.getsockname()
            return InheritedSocket(name, sock, int(address[1]) if isinstance(address, tuple) else 0)
    sock.detach()
    return None
