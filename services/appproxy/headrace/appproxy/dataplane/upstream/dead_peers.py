"""Peers that are gone without a word: TCP keepalive and TCP_USER_TIMEOUT (tcp(7), RFC 5482)."""

from __future__ import annotations

import socket
from errno import EHOSTDOWN, EHOSTUNREACH, ENETDOWN, ENETUNREACH, ETIMEDOUT
from typing import Any, Final

_GONE: Final = frozenset({ETIMEDOUT, EHOSTUNREACH, EHOSTDOWN, ENETUNREACH, ENETDOWN})


def detect_dead_peer(sock: Any, after_s: float) -> None:
    """Let the kernel end the connection once its peer has acknowledged nothing for `after_s`; 0: as the system does.

    Data on its way is covered by TCP_USER_TIMEOUT, silence by keepalive probes, of which the first comes after a third
    of that time: a machine that lives acknowledges them, however long its program computes. A peer that takes no more
    data for so long, its buffers full, counts as gone too. Sockets that are accepted inherit this from the listening
    one.
    """
    if after_s <= 0 or sock is None:  # None: the connection has ended already
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)  # its times are whole seconds
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, round(after_s / 3)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, round(after_s / 6)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(after_s * 1000))


def is_gone(error: Exception | None) -> bool:
    """Return True if a connection ended with `error` because its peer's machine did not respond."""
    return isinstance(error, OSError) and error.errno in _GONE
