"""Upstream connection: sends a request's bytes, parses the response, and calls its handlers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Final

from headrace.appproxy.dataplane.http1.bodies import Body, UntilCloseBody, body_of
from headrace.appproxy.dataplane.http1.heads import FramingError, HeadLimits, ResponseHead
from headrace.appproxy.dataplane.http1.responses import ResponseReader
from headrace.appproxy.dataplane.http1.write_coalescer import CoalescingProtocol, WriteCoalescer
from headrace.appproxy.dataplane.upstream.dead_peers import is_gone
from headrace.appproxy.dataplane.upstream.failures import FailureKind
from headrace.appproxy.dataplane.upstream.open_request import OpenRequest
from headrace.common.contracts.reasons.proxy import ProxyReason

_MAX_INTERIM: Final = 16
HIGH_WATER: Final = 64 * 1024
"""Bytes buffered for a peer before the other side is paused."""
_NO_BODY: Final = body_of(0)
"""Interim (1xx) responses of one request."""


class HeadHandler(OpenRequest):
    """Handler of a response up to its head. Nothing is called after `whole` or `lost`."""

    @abstractmethod
    def whole(self, head: ResponseHead, content: bytes) -> None:
        """Handle a response that arrived complete; the connection is already back in the pool."""

    @abstractmethod
    def answered(self, connection: ReplicaConnection, head: ResponseHead) -> None:
        """Handle the final head, or a 101: call `relay_to` or `tunnel_to`, or drop the connection."""

    @abstractmethod
    def lost(self, connection: ReplicaConnection, kind: FailureKind, text: str) -> None:
        """Handle a connection that ended, or sent no valid HTTP, before a head."""

    @abstractmethod
    def replica_backpressure(self, *, full: bool) -> None:
        """Backpressure from the replica: pause or resume sending the body; also after the response has begun."""


class BodyHandler(ABC):
    """Handler of response content. Nothing is called after `ended` or `interrupted`."""

    @abstractmethod
    def relay(self, content: bytes, body: Body) -> None:
        """Handle content; `body` has its framing, and tells if it is complete."""

    @abstractmethod
    def flush(self) -> None:
        """Flush: no more content in this read."""

    @abstractmethod
    def ended(self) -> None:
        """Handle the end of a complete response."""

    @abstractmethod
    def interrupted(self, why: ProxyReason) -> None:
        """Handle an interrupted response."""


class TunnelHandler(ABC):
    """Handler of data after a 101. Nothing is called after `ended`."""

    @abstractmethod
    def from_replica(self, data: bytes) -> None:
        """Handle bytes from the replica."""

    @abstractmethod
    def ended(self) -> None:
        """Handle the end of the connection."""


class ConnectionPool(ABC):
    """Pool of idle connections to a replica."""

    @abstractmethod
    def keep_idle(self, connection: ReplicaConnection) -> None:
        """Return a connection to the pool."""

    @abstractmethod
    def forget(self, connection: ReplicaConnection) -> None:
        """Remove a connection that has ended."""


class ReplicaConnection(CoalescingProtocol):
    """Upstream connection, idle or busy with one request: its response goes to a HeadHandler, then a BodyHandler or
    TunnelHandler.
    """

    __slots__ = (
        "_body",
        "_body_handler",
        "_interim",
        "_keep_alive",
        "_pool",
        "_reader",
        "_request",
        "_to_head",
        "_tunnel",
        "idle_since",
        "request_complete",
        "reused",
        "taken_at",
    )

    def __init__(self, pool: ConnectionPool, limits: HeadLimits, coalescer: WriteCoalescer) -> None:
        super().__init__(coalescer)
        self._pool = pool
        self._request: HeadHandler | None = None
        """Handler of its current response."""
        self._body_handler: BodyHandler | None = None
        self._tunnel: TunnelHandler | None = None
        self.reused = False
        """True if it had served a request before the current one."""
        self.taken_at = 0.0
        self.idle_since = 0.0
        self.request_complete = False
        """True if the current request was sent completely."""
        self._reader = ResponseReader(limits)
        self._body: Body = _NO_BODY
        self._keep_alive = False
        """True if it can be reused after the current response."""
        self._to_head = False
        self._interim = 0

    def connection_made(self, transport: Any) -> None:
        """Callback of the event loop."""
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)

    def send_request(self, request: HeadHandler, data: bytes, *, whole: bool, to_head: bool, now_s: float) -> None:
        """Send the first bytes of a request, or all of it if `whole`; events of the response go to `request`."""
        self._request = request
        self.taken_at = now_s
        self.request_complete = whole
        self._to_head = to_head
        self._interim = 0
        self.write(data)

    def relay_to(self, handler: BodyHandler) -> None:
        """Deliver the response's content to `handler`."""
        self._body_handler = handler

    def tunnel_to(self, handler: TunnelHandler) -> None:
        """Deliver all further bytes to `handler`, after a 101."""
        self._tunnel = handler

    def data_received(self, data: bytes) -> None:
        """Callback of the event loop."""
        request, tunnel = self._request, self._tunnel
        if request is None:  # a response without a request
            self.drop()
        elif tunnel is not None:
            tunnel.from_replica(data)
        else:
            try:
                if self._body_handler is None:
                    self._begin(request, data)
                else:
                    self._go_on(self._body_handler, data)
            except FramingError as error:
                handler = self._body_handler
                self.drop()
                if handler is None:
                    request.lost(self, ProxyReason.BAD_RESPONSE, error.detail)
                else:
                    handler.interrupted(ProxyReason.BAD_RESPONSE)

    def _begin(self, request: HeadHandler, data: bytes) -> None:
        """Parse a response head, and the content that came with it."""
        reader = self._reader
        head = reader.head(data, to_head=self._to_head)
        while head is not None and head.status < 200 and head.status != 101:
            self._interim += 1  # RFC 9110 section 15.2: a proxy need not forward interim responses
            if self._interim > _MAX_INTERIM:
                raise FramingError(ProxyReason.BAD_RESPONSE, "too many interim answers")
            head = reader.head(reader.rest, to_head=self._to_head)
        if head is None:
            return
        content = reader.rest
        self._keep_alive = head.keep_alive
        if head.length == len(content) and self.request_complete and head.status != 101:
            self._request = None
            self._finish()
            request.whole(head, content)
            return
        self._body = body_of(head.length)
        request.answered(self, head)
        handler, tunnel = self._body_handler, self._tunnel
        if handler is not None:
            self._go_on(handler, content)
        elif tunnel is not None and content:
            tunnel.from_replica(content)

    def _go_on(self, handler: BodyHandler, data: bytes) -> None:
        """Parse more of a body."""
        body = self._body
        content = body.feed(data) if data and not body.done else b""
        rest = body.rest
        if content:
            handler.relay(content, body)
            if self._body_handler is not handler:
                return
        if not body.done:
            handler.flush()
            return
        self.release()
        self._finish(clean=not rest)
        handler.ended()

    def _finish(self, *, clean: bool = True) -> None:
        """End a complete response: return the connection to the pool, or close it."""
        if clean and self.request_complete and self._keep_alive and not self.transport.is_closing():
            self.reused = True
            self._pool.keep_idle(self)
        else:
            self.end()

    def pause(self, *, paused: bool) -> None:
        """Pause or resume reading from the replica."""
        if self.transport.is_closing():
            return
        if paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def release(self) -> None:
        """Detach the connection from its request."""
        self._request = self._body_handler = self._tunnel = None
        self._body = _NO_BODY

    def drop(self) -> None:
        """Close the connection now, without calling any handler."""
        self.release()
        self._pool.forget(self)
        self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """Callback of the event loop."""
        request, handler, tunnel = self._request, self._body_handler, self._tunnel
        whole = error is None and isinstance(self._body, UntilCloseBody)
        self._pool.forget(self)
        if request is None:
            return
        self.release()
        if tunnel is not None:
            tunnel.ended()
        elif handler is None:
            if is_gone(error):
                request.lost(self, ProxyReason.REPLICA_UNREACHABLE, "its machine acknowledges nothing any more")
            else:
                request.lost(self, ProxyReason.CONNECTION_LOST, "the connection was closed before an answer came")
        elif whole:
            handler.ended()
        else:
            handler.interrupted(ProxyReason.REPLICA_UNREACHABLE if is_gone(error) else ProxyReason.CONNECTION_LOST)

    def pause_writing(self) -> None:
        """Callback of the event loop: the replica's write buffer is full."""
        if self._request is not None:
            self._request.replica_backpressure(full=True)

    def resume_writing(self) -> None:
        """Callback of the event loop."""
        if self._request is not None:
            self._request.replica_backpressure(full=False)
