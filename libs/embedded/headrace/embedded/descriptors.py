"""A file descriptor store for one program, as systemd's (sd_pid_notify_with_fds(3)): listening sockets outlive their
process.

The program sends a descriptor with `FDSTORE=1` and a name to NOTIFY_SOCKET, and gets it back at its next start. Other
messages of that protocol are ignored.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct
from array import array

import structlog

log = structlog.get_logger(__name__)
_MAX = 1024
"""Descriptors stored at most; further ones are closed."""
_MESSAGE = 4096
_MAX_FDS = 16
_CREDENTIALS = struct.Struct("3i")


class DescriptorStore:
    """File descriptor store (sd_pid_notify_with_fds(3)) on the running event loop, open until close().

    Accepts messages of processes of the same account only.
    """

    def __init__(self) -> None:
        self.address = f"@headrace-{secrets.token_hex(16)}"
        """Value of NOTIFY_SOCKET; in the abstract namespace, where paths have no length limit."""
        self._held: dict[str, int] = {}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._socket.bind("\0" + self.address[1:])
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._read)

    def held(self) -> list[tuple[str, int]]:
        """Return name and number of each stored descriptor."""
        if self._socket.fileno() >= 0:
            self._read()  # messages that a program sent just before its exit
        return list(self._held.items())

    def close(self) -> None:
        """Close the stored descriptors and the socket. Idempotent."""
        if self._socket.fileno() < 0:
            return
        self._loop.remove_reader(self._socket)
        self._socket.close()
        for fd in self._held.values():
            os.close(fd)
        self._held.clear()

    def _read(self) -> None:
        space = socket.CMSG_SPACE(_MAX_FDS * array("i").itemsize) + socket.CMSG_SPACE(_CREDENTIALS.size)
        while True:
            try:
                data, ancillary, _, _ = self._socket.recvmsg(_MESSAGE, space, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            fds, uid = _parts(ancillary)
            said = dict(line.partition("=")[::2] for line in data.decode("utf-8", "replace").splitlines())
            if uid == os.geteuid():
                fds = self._obey(said, fds)
            for fd in fds:
                os.close(fd)

    def _obey(self, said: dict[str, str], fds: list[int]) -> list[int]:
        """Process a message: store or remove descriptors; return those that are not stored."""
        name = said.get("FDNAME", "")
        usable = name and name.isprintable() and not set(name) & set(":,= ") and len(name) <= 255
        if not usable:
            return fds
        if said.get("FDSTOREREMOVE") == "1":
            if (old := self._held.pop(name, None)) is not None:
                os.close(old)
        elif said.get("FDSTORE") == "1" and fds and (name in self._held or len(self._held) < _MAX):
            kept, *others = fds
            if (old := self._held.get(name)) is not None:
                os.close(old)
            self._held[name] = kept
            return others
        elif said.get("FDSTORE") == "1":
            log.warning("descriptor_not_stored", name=name, kept=len(self._held))
        return fds


def _parts(ancillary: list[tuple[int, int, bytes]]) -> tuple[list[int], int]:
    """Return the descriptors of a message, and its sender's uid; -1 if unknown."""
    fds, uid = array("i"), -1
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        elif (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            uid = _CREDENTIALS.unpack(content[: _CREDENTIALS.size])[1]
    return list(fds), uid
