"""Listening TCP sockets of this network namespace by netlink (sock_diag.7, linux/inet_diag.h).

The system walks its listening sockets only; reading /proc/net/tcp walks every connection of the machine too. Needs no right.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_REQUEST_DUMP = 0x301
_ERROR, _DONE = 2, 3
_LISTENING = 1 << 10
_HEADER = struct.Struct("=IHHII")
_MESSAGE = struct.Struct("!BBBBHH")
_INODE = struct.Struct("=I")
_ERRNO = struct.Struct("=i")
_INODE_AT = 68
"""In inet_diag_msg: 4 bytes, the socket's id (48), then expires, rqueue, wqueue, uid and this."""
_READ = 256 * 1024
_TIMEOUT_S = 2.0
_MAX_READS = 10_000


def listening_sockets() -> list[tuple[int, str]]:
    """Return (port, inode) of each listening socket, whatever its address. Blocks for a moment. Raises OSError."""
    found: list[tuple[int, str]] = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(_TIMEOUT_S)
        for family in (socket.AF_INET, socket.AF_INET6):
            netlink.send(_request(family))
            found += _answers(netlink)
    return found


def _request(family: int) -> bytes:
    wanted = struct.pack("=BBBBI48x", family, socket.IPPROTO_TCP, 0, 0, _LISTENING)
    return _HEADER.pack(_HEADER.size + len(wanted), _SOCK_DIAG_BY_FAMILY, _REQUEST_DUMP, 0, 0) + wanted


def _answers(netlink: socket.socket) -> Iterator[tuple[int, str]]:
    for _ in range(_MAX_READS):
        content = netlink.recv(_READ)
        at = 0
        while at + _HEADER.size <= len(content):
            size, kind, *_ = _HEADER.unpack_from(content, at)
            body = at + _HEADER.size
            if kind == _DONE:
                return
            if kind == _ERROR or size < _HEADER.size:
                number = -_ERRNO.unpack_from(content, body)[0] if kind == _ERROR else 0
                raise OSError(number, "the system refused to list its sockets")
            if kind == _SOCK_DIAG_BY_FAMILY and size >= _HEADER.size + _INODE_AT + _INODE.size:
                port = _MESSAGE.unpack_from(content, body)[4]
                yield port, str(_INODE.unpack_from(content, body + _INODE_AT)[0])
            at += (size + 3) & ~3
    raise OSError("the system's list of sockets does not end")
