"""Limits of a server's connections: their number, and the time for a request's head."""

from __future__ import annotations

import asyncio
import json
import resource
from typing import cast

import structlog
from aiohttp import web

from headrace.common.contracts.problems import Problem, RequestTimeout, Unavailable
from headrace.common.contracts.reasons.api import ApiReason

log = structlog.get_logger()
RESERVE = 256
"""File descriptors reserved for the database, the bus, files and logs."""


class Connections:
    """Connections of one server, bounded: at the bound the connection that is idle longest is closed."""

    def __init__(self) -> None:
        self.most = 500
        self.head_s = 10.0
        self._open: dict[asyncio.BaseTransport, _Connection] = {}
        self._idle: dict[asyncio.BaseTransport, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def guarded(self, inner: asyncio.Protocol, caller: str | None = None) -> asyncio.Protocol:
        """Return a protocol that applies the bounds to `inner`. `caller`: whose it is, where a load balancer said so."""
        return _Connection(self, inner, caller)

    def caller(self, request: web.Request) -> str | None:
        """Return the address that a load balancer named for the request's connection; None: it is that of the connection."""
        connection = self._open.get(request.transport) if request.transport is not None else None
        return connection.caller if connection is not None else None

    def begun(self, request: web.Request) -> None:
        """Record that a request's head is complete."""
        transport = request.transport
        connection = self._open.get(transport) if transport is not None else None
        if connection is not None:
            self._idle.pop(connection.transport, None)
            connection.head_complete()

    def done(self, request: web.Request) -> None:
        """Record that the request was answered."""
        if request.transport in self._open:
            self._idle[request.transport] = None

    def admit(self, connection: _Connection) -> bool:
        """Register a new connection; return False if there is no room and no idle one to close."""
        if len(self._open) >= self.most:
            if not self._idle:
                return False
            self._open[next(iter(self._idle))].end(
                Unavailable("others need the connection", reason=ApiReason.TOO_MANY_CONNECTIONS)
            )
        self._open[connection.transport] = connection
        self._idle[connection.transport] = None
        return True

    def gone(self, transport: asyncio.BaseTransport) -> None:
        """Unregister a connection."""
        self._open.pop(transport, None)
        self._idle.pop(transport, None)

    def waits(self, transport: asyncio.BaseTransport) -> bool:
        """Return True if the connection is idle."""
        return transport in self._idle


class _Connection(asyncio.Protocol):
    """Wraps the HTTP protocol of one connection, and times out slow request heads."""

    transport: asyncio.Transport

    def __init__(self, all_of_them: Connections, inner: asyncio.Protocol, caller: str | None) -> None:
        self.caller = caller
        self._all = all_of_them
        self._inner = inner
        self._admitted = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's transports are no subclass of it
        self._admitted = self._all.admit(self)
        if self._admitted:
            self._inner.connection_made(transport)
        else:
            self.end(Unavailable("all connections are in use; try again", reason=ApiReason.TOO_MANY_CONNECTIONS))

    def data_received(self, data: bytes) -> None:
        if not self._admitted:
            return
        if self._timer is None and self._all.waits(self.transport):
            self._timer = asyncio.get_running_loop().call_later(self._all.head_s, self._head_timed_out)
        self._inner.data_received(data)

    def head_complete(self) -> None:
        """Cancel the head's time-out."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self, problem: Problem) -> None:
        """Close with a response; without one, if the client has not read the one before. Never blocks."""
        self._all.gone(self.transport)
        self.head_complete()
        if self.transport.is_closing() or self.transport.get_write_buffer_size():
            self.transport.abort()
            return
        body = json.dumps(problem.document()).encode()
        head = (
            f"HTTP/1.1 {problem.status} {problem.title}\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\nRetry-After: 1\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _head_timed_out(self) -> None:
        self._timer = None
        if self._all.waits(self.transport):
            self.end(RequestTimeout(f"the request's head did not arrive within {self._all.head_s:g} s"))

    def eof_received(self) -> bool | None:
        return self._inner.eof_received() if self._admitted else None

    def connection_lost(self, error: Exception | None) -> None:
        self.head_complete()
        self._all.gone(self.transport)
        if self._admitted:
            self._inner.connection_lost(error)

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()


def within_descriptors(wanted: int) -> int:
    """Return how many connections the process may have: `wanted`, or what its descriptor limit allows besides a
    reserve.

    Raises the soft limit as far as the hard one allows.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted + RESERVE:
        soft = wanted + RESERVE if hard == resource.RLIM_INFINITY else min(hard, wanted + RESERVE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    most = max(16, min(wanted, soft - RESERVE))
    if most < wanted:
        log.warning("connection_limit_reduced", wanted=wanted, allowed=most, descriptors=soft)
    return most
