"""Downstream connection: one caller's requests in order, one at a time, and the responses to them.

It has framing and time-outs, but no policy.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from headrace.appproxy.dataplane.headers.forwarded import address_block
from headrace.appproxy.dataplane.http1.bodies import Body, body_of
from headrace.appproxy.dataplane.http1.heads import FramingError, RequestHead
from headrace.appproxy.dataplane.http1.requests import RequestReader
from headrace.appproxy.dataplane.http1.write_coalescer import CoalescingProtocol, DeferredWork
from headrace.appproxy.dataplane.request.context import Listener, WorkerContext
from headrace.appproxy.dataplane.request.local_replies import framing_reply
from headrace.appproxy.dataplane.upstream.connection import HIGH_WATER
from headrace.common.contracts.reasons.proxy import ProxyReason

_MAX_HELD: Final = 64 * 1024
"""Bytes of pipelined requests that are read ahead."""
_FLUSH_S: Final = 5.0
"""Longest time to send a last response before the connection is cut."""
LAST_IDLE_S: Final = 1.0
"""How long an idle connection is still served after its listener stops: its next request may be on its way."""
_NEVER: Final = float("inf")
_NO_REASONS: Final[frozenset[str]] = frozenset()
_MAX_ADDRESSES: Final = 4096
"""Cached, so that all connections from one address share these fields."""


class RequestHandler(DeferredWork):
    """Current request of a downstream connection.

    Nothing is called after `caller_left`, nor after it told the connection that it has ended, but for what it defers then: its
    accounting.
    """

    @abstractmethod
    def body_received(self, content: bytes) -> None:
        """Handle body content; the connection's `request_complete` is True with the last of it."""

    @abstractmethod
    def body_malformed(self, error: FramingError) -> None:
        """Handle a framing error in the body."""

    @abstractmethod
    def caller_backpressure(self, *, full: bool) -> None:
        """Backpressure from the caller: writing is paused, or may go on."""

    @abstractmethod
    def caller_left(self) -> None:
        """Handle the end of the caller's connection."""

    @abstractmethod
    def expired(self) -> None:
        """Handle the connection's expired `deadline`."""


class Acceptor(ABC):
    """Takes new requests of downstream connections."""

    @abstractmethod
    def accept(
        self, downstream: DownstreamConnection, head: RequestHead, early: bytes, bad: FramingError | None
    ) -> None:
        """Take a request: set the connection's `exchange`, or respond.

        `early`: body content that came with the head; `bad`: a framing error in it, if any.
        """


class Downstreams:
    """Open downstream connections, in all and by address: an IPv4 address, or the /64 of an IPv6 one."""

    def __init__(
        self,
        context: WorkerContext,
        acceptor: Acceptor,
        *,
        most: int,
        most_per_address: int,
    ) -> None:
        self.context = context
        self.acceptor = acceptor
        self._most = most
        self._most_per_address = most_per_address
        self._by_address: dict[str, set[DownstreamConnection]] = {}
        self.open: set[DownstreamConnection] = set()

    def connect(self, listener: Listener) -> DownstreamConnection:
        """Return the protocol for a new connection (protocol factory of the event loop)."""
        return DownstreamConnection(self, listener)

    def add(self, downstream: DownstreamConnection) -> FramingError | None:
        """Count a new connection, or return the reason of its refusal."""
        crowded = False
        if not downstream.trusted:
            mine = self._by_address.setdefault(address_block(downstream.address), set())
            mine.add(downstream)
            crowded = len(mine) > self._most_per_address
        self.open.add(downstream)
        if len(self.open) > self._most:
            return FramingError(ProxyReason.PROXY_FULL, "this app-proxy has too many connections")
        if crowded:
            return FramingError(ProxyReason.TOO_MANY_CONNECTIONS, "this address has too many connections open")
        return None

    def remove(self, downstream: DownstreamConnection) -> None:
        """Remove an ended connection."""
        self.open.discard(downstream)
        block = address_block(downstream.address)
        mine = self._by_address.get(block)
        if mine is not None:
            mine.discard(downstream)
            if not mine:
                del self._by_address[block]


class DownstreamConnection(CoalescingProtocol):
    """Downstream connection: protocol of the event loop. The data plane's sweep calls `expired` at `deadline`."""

    __slots__ = (
        "_body",
        "_closing",
        "_downstreams",
        "_paused_for",
        "_pipelined",
        "_sink",
        "address",
        "context",
        "deadline",
        "exchange",
        "forwarded_fields",
        "listener",
        "reader",
        "request_complete",
        "trusted",
        "writable",
    )

    def __init__(self, downstreams: Downstreams, listener: Listener) -> None:
        context = downstreams.context
        super().__init__(context.coalescer)
        self._downstreams = downstreams
        self.context = context
        self.listener = listener
        self.address = ""
        self.forwarded_fields = b""
        """X-Forwarded-* fields for replicas, as far as the connection determines them."""
        self.trusted = False
        """True if the peer is a trusted proxy."""
        self.reader = RequestReader(context.head_limits)
        self.exchange: RequestHandler | None = None
        """Current request."""
        self.deadline = _NEVER
        self.request_complete = False
        """True if the current request was received completely."""
        self.writable = True
        self._body: Body | None = None
        self._pipelined = b""
        self._closing = False
        self._paused_for = _NO_REASONS
        self._sink: Callable[[DownstreamConnection, bytes], None] = _READ
        """Not bound methods: there may be thousands of connections, most of them idle."""

    # --- the event loop's callbacks

    def connection_made(self, transport: Any) -> None:
        """Callback of the event loop."""
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)
        peer = transport.get_extra_info("peername")
        self.address, fields = _known(peer[0] if isinstance(peer, tuple) else "")
        self.deadline = self.context.now() + self.context.proxy_limits.keepalive_timeout_s
        self.trusted = self.context.trusts(self.address)
        refusal = self._downstreams.add(self)
        if refusal is not None:
            self.context.stats.count_unknown(refusal.code)
            self.write(framing_reply(refusal))
            self.close_gracefully()
            return
        self.forwarded_fields = fields

    def data_received(self, data: bytes) -> None:
        """Callback of the event loop."""
        self._sink(self, data)

    def eof_received(self) -> None:
        """Callback of the event loop: a half-closed caller counts as gone, as for most servers; the transport closes."""

    def connection_lost(self, _error: Exception | None) -> None:
        """Callback of the event loop."""
        self._closing = True
        self._sink = _IGNORE
        self.deadline = _NEVER
        self._downstreams.remove(self)
        exchange, self.exchange = self.exchange, None
        if exchange is not None:
            exchange.caller_left()

    def pause_writing(self) -> None:
        """Callback of the event loop: the caller's write buffer is full."""
        self.writable = False
        if self.exchange is not None:
            self.exchange.caller_backpressure(full=True)

    def resume_writing(self) -> None:
        """Callback of the event loop."""
        self.writable = True
        if self.exchange is not None:
            self.exchange.caller_backpressure(full=False)

    # --- reading

    def _ignore(self, data: bytes) -> None:
        """Discard data that follows the last request of this connection."""

    def _read(self, data: bytes) -> None:
        """Parse data between requests, or in a head."""
        begun = self.reader.begun
        try:
            head = self.reader.head(data)
        except FramingError as error:
            self.context.malformed(error.code)
            self.reply_and_close(framing_reply(error))
            return
        if head is None:
            if not begun:
                self.deadline = self.context.now() + self.context.proxy_limits.head_timeout_s
            return
        rest = self.reader.rest
        if rest:
            self.reader.rest = b""
        early, bad = b"", None
        self.request_complete = not head.length
        if head.length:
            body = self._body = body_of(head.length)
            self._sink = _READ_BODY
            if rest:
                try:
                    early = self._content(body, rest)
                except FramingError as error:
                    bad = error
        else:
            self._sink = _HOLD
            if rest:
                self._hold(rest)
        self._downstreams.acceptor.accept(self, head, early, bad)

    def _read_body(self, data: bytes) -> None:
        body, exchange = self._body, self.exchange
        if body is None or exchange is None:
            return
        try:
            content = self._content(body, data)
        except FramingError as error:
            exchange.body_malformed(error)
        else:
            exchange.body_received(content)

    def _content(self, body: Body, data: bytes) -> bytes:
        """Return the body content in `data`. Raises FramingError."""
        try:
            content = body.feed(data)
        except FramingError as error:
            self.context.malformed(error.code)
            raise
        if body.done:
            self._body = None
            self._sink = _HOLD
            self.request_complete = True
            if body.rest:
                self._hold(body.rest)
        return content

    def _hold(self, data: bytes) -> None:
        """Buffer a pipelined request while one is being served."""
        self._pipelined += data
        if len(self._pipelined) > _MAX_HELD:
            self.pause_reading("held")

    def tunnel(self, sink: Callable[[bytes], None]) -> None:
        """Switch to tunnel mode after a 101: all further bytes go to `sink`."""
        self._sink = lambda _, data: sink(data)
        held, self._pipelined = self._pipelined, b""
        self.resume_reading("held")
        if held:
            sink(held)

    @property
    def paused(self) -> bool:
        """True while reading from the caller is paused."""
        return bool(self._paused_for)

    def pause_reading(self, why: str) -> None:
        """Pause reading from the caller until `resume_reading(why)`."""
        if not self._paused_for and not self.transport.is_closing():
            self.transport.pause_reading()
        self._paused_for |= {why}

    def resume_reading(self, why: str) -> None:
        """Undo `pause_reading(why)`. Idempotent."""
        if why in self._paused_for:
            self._paused_for -= {why}
            if not self._paused_for and not self.transport.is_closing():
                self.transport.resume_reading()

    # --- time

    def expired(self) -> None:
        """Handle the expired `deadline`."""
        self.deadline = _NEVER
        if self.exchange is not None:
            self.exchange.expired()
        elif self.reader.begun:
            self.context.malformed(ProxyReason.HEAD_TIMEOUT)
            self.reply_and_close(framing_reply(FramingError(ProxyReason.HEAD_TIMEOUT, "the head did not come in time")))
        else:
            self.end()

    # --- writing

    def finished(self, *, closes: bool, now_s: float) -> None:
        """End the exchange after its complete response: serve the next request, or close."""
        self.exchange = None
        if closes or self._closing or self._body is not None:
            # Skipping the rest of an unwanted body to find the next request would take too long.
            self.close_gracefully()
            return
        # A response that began before the listener refused was keep-alive: the next request may be on its way, and is the last one.
        idle_s = LAST_IDLE_S if self.listener.refusing else self.context.proxy_limits.keepalive_timeout_s
        self.deadline = now_s + idle_s
        if not self._pipelined:
            self._sink = _READ
        else:
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Parse the requests that were buffered meanwhile."""
        held, self._pipelined = self._pipelined, b""
        if held and self.exchange is None and not self._closing:
            self._sink = _READ
            self.resume_reading("held")
            self._read(held)

    def reply_and_close(self, answer: bytes) -> None:
        """Write a local reply to an invalid request, and close the connection."""
        if not self.transport.is_closing():
            self.write(answer)
        self.close_gracefully(unread=True)

    def close_gracefully(self, *, unread: bool = False) -> None:
        """Close the connection after the written data; later input is discarded. `unread`: there is such input."""
        self.exchange = None
        self._closing = True
        self._sink = _IGNORE
        self._pipelined = b""
        self.deadline = _NEVER
        transport = self.transport
        if transport.is_closing():
            return
        if self._body is None and not unread:
            self.end()
        else:
            # RFC 9112 section 9.6: a close with unread bytes may reset the connection under the response; so half-close
            # first, and discard further input for a moment.
            self.end_sending()
            self._body = None
        asyncio.get_running_loop().call_later(_FLUSH_S, self.abort)

    def close_midway(self) -> None:
        """Close the connection after the written data, in the middle of a response."""
        self.exchange = None
        self._closing = True
        self._sink = _IGNORE
        self.deadline = _NEVER
        self.end()
        asyncio.get_running_loop().call_later(_FLUSH_S, self.abort)

    def discard(self) -> None:
        """Close the connection at once; unsent data is lost."""
        self.exchange = None
        self._closing = True
        self.abort()

    @property
    def idle(self) -> bool:
        """True if no request is being served."""
        return self.exchange is None and not self.reader.begun


_READ: Final = DownstreamConnection._read  # noqa: SLF001
_READ_BODY: Final = DownstreamConnection._read_body  # noqa: SLF001
_HOLD: Final = DownstreamConnection._hold  # noqa: SLF001
_IGNORE: Final = DownstreamConnection._ignore  # noqa: SLF001
"""Destinations of received bytes (`_sink`). As constants: compiled code looks methods up by name each time."""


@lru_cache(maxsize=_MAX_ADDRESSES)
def _known(host: str) -> tuple[str, bytes]:
    """Return the client address, and the fields that forward it to replicas."""
    address = host.removeprefix("::ffff:")  # IPv4 on a socket for both
    return address, b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: http\r\n" % address.encode()
