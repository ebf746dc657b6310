"""Connections that load balancers pass on with the PROXY protocol: whose each is, is read ahead of TLS and HTTP."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

import structlog

from headrace.common.web.proxy_header import FIXED_BYTES, ProxyHeaderError, rest_bytes, source_address

log = structlog.get_logger()
HEADER_S: Final = 5.0
"""Longest wait for a header: a balancer sends it with the connection."""
BACKLOG: Final = 1024
_SAID_EVERY_S: Final = 60.0
_PAUSE_S: Final = 1.0

Network = IPv4Network | IPv6Network
Made = Callable[[str | None], asyncio.Protocol]
"""Makes the protocol of one connection, of the address that a balancer named, or None."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How connections are encrypted."""

    context: ssl.SSLContext
    handshake_s: float


class ProxiedConnections:
    """Takes connections of `balancers`, each of which begins with a header, and of others, of which none may.

    Without a header, or with a wrong one, a balancer's connection is closed; what others send goes to TLS or HTTP, for which
    a header is no beginning. `most` are waited for at once, until their protocol begins; a further one is closed.
    """

    def __init__(self, make: Made, balancers: Sequence[Network], *, most: int, tls: Tls | None) -> None:
        self._make = make
        self._balancers = tuple(balancers)
        self._most = most
        self._tls = tls
        self._waiting: set[asyncio.Task[None]] = set()
        self._said_at: float | None = None

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[int]:
        """Accept connections until the context is left, and yield the port. Raises OSError if it is in use."""
        loop = asyncio.get_running_loop()
        with ExitStack() as opened:
            sockets: list[socket.socket] = []
            for family, *_, address in await loop.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            ):
                sockets.append(opened.enter_context(socket.socket(family, socket.SOCK_STREAM)))
                _listen(sockets[-1], address)
            async with asyncio.TaskGroup() as group:
                accepting = [group.create_task(self._accept(one, group)) for one in sockets]
                yield int(sockets[0].getsockname()[1])
                for task in (*accepting, *self._waiting):
                    task.cancel()

    async def _accept(self, listening: socket.socket, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listening)
            except ConnectionAbortedError:  # it ended before it was taken
                continue
            except OSError as error:  # no descriptors, no memory
                self._say("connections_not_accepted", why=error.strerror)
                await asyncio.sleep(_PAUSE_S)
                continue
            if len(self._waiting) >= self._most:
                self._say("connection_refused", why=f"{self._most} others have not begun yet")
                connection.close()
                continue
            task = group.create_task(self._begin(connection, str(address[0])))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    async def _begin(self, connection: socket.socket, peer: str) -> None:
        """Read whose the connection is, and hand it to its protocol."""
        loop, tls, handed = asyncio.get_running_loop(), self._tls, False
        try:
            caller = await self._caller(connection, peer)
            handed = True
            await loop.connect_accepted_socket(
                lambda: self._make(caller),
                connection,
                ssl=tls.context if tls else None,
                ssl_handshake_timeout=tls.handshake_s if tls else None,
            )
        except ProxyHeaderError as error:
            self._say("proxy_header_refused", peer=peer, why=str(error))
        except OSError:  # it ended, or its handshake failed or took too long, which is its caller's to know
            pass
        except Exception:  # one connection costs itself
            log.exception("connection_failed", peer=peer)
        finally:
            if not handed:
                connection.close()

    async def _caller(self, connection: socket.socket, peer: str) -> str | None:
        address = ip_address(peer.partition("%")[0])
        if not any(address in network for network in self._balancers):
            return None
        try:
            async with asyncio.timeout(HEADER_S):
                fixed = await _exactly(connection, FIXED_BYTES)
                return source_address(fixed, await _exactly(connection, rest_bytes(fixed)))
        except TimeoutError:
            raise ProxyHeaderError(f"found none within {HEADER_S:g} s; allowed: one at the beginning") from None

    def _say(self, event: str, **words: object) -> None:
        """Log it, once a minute: a balancer that is set wrongly checks its servers every second."""
        now = asyncio.get_running_loop().time()
        if self._said_at is None or now - self._said_at >= _SAID_EVERY_S:
            self._said_at = now
            log.warning(event, **words)


async def _exactly(connection: socket.socket, size: int) -> bytes:
    """Read so many bytes and none more: what follows is TLS or HTTP. Raises ProxyHeaderError if it ends before."""
    read = b""
    while len(read) < size:
        some = await asyncio.get_running_loop().sock_recv(connection, size - len(read))
        if not some:
            raise ProxyHeaderError(f"found the end of the connection after {len(read)} bytes; allowed: a header")
        read += some
    return read


def _listen(opened: socket.socket, address: tuple[object, ...]) -> None:
    """Bind as `loop.create_server` does."""
    opened.setblocking(False)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if opened.family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    opened.bind(address)
    opened.listen(BACKLOG)
