"""Upstream connection: sends a request's bytes, parses the response, and hands what came to the request's handler."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from headrace.appproxy.dataplane.http1.bodies import Body, OpenBody, body_of
from headrace.appproxy.dataplane.http1.heads import FramingError, HeadLimits, ResponseHead
from headrace.appproxy.dataplane.http1.responses import ResponseReader
from headrace.appproxy.dataplane.http1.write_coalescer import CoalescingProtocol, WriteCoalescer
from headrace.appproxy.dataplane.upstream.failures import FailureKind
from headrace.common.contracts.reasons.proxy import ProxyReason

if TYPE_CHECKING:
    from headrace.appproxy.dataplane.upstream.replica import Replica

_MOST_INTERIM: Final = 16
HIGH_WATER: Final = 64 * 1024
"""Bytes that may wait for a peer before the other side is paused."""


class ResponseHandler(Protocol):
    """Who an answer is for. Nothing is called after `lost`, `broke_off` or `ended`."""

    def whole(self, head: ResponseHead, content: bytes) -> None:
        """The answer came in one piece; the connection serves others already."""

    def answered(self, head: ResponseHead) -> None:
        """The final head came, or 101."""

    def relay(self, content: bytes, body: Body) -> None:
        """Content came; `body` says how it was framed and whether that was all."""

    def flush(self) -> None:
        """That was all for now."""

    def ended(self) -> None:
        """The answer is whole."""

    def lost(self, kind: FailureKind, text: str) -> None:
        """The connection ended, or sent no HTTP, before a head came."""

    def broke_off(self, why: ProxyReason) -> None:
        """The answer cannot be finished."""

    def replica_full(self, *, full: bool) -> None:
        """Stop or go on sending the request's body."""

    def from_replica(self, data: bytes) -> None:
        """Bytes after 101."""


class ReplicaConnection(CoalescingProtocol):
    """A connection to `replica`; idle, or busy with one exchange."""

    __slots__ = (
        "_body",
        "_head",
        "_interim",
        "_reader",
        "_to_head",
        "handler",
        "idle_since",
        "replica",
        "request_complete",
        "reused",
        "taken_at",
        "tunnel",
    )

    def __init__(self, replica: Replica, limits: HeadLimits, coalescer: WriteCoalescer) -> None:
        super().__init__(coalescer)
        self.replica = replica
        self.handler: ResponseHandler | None = None
        self.reused = False
        """Whether it had served before the request in hand."""
        self.taken_at = 0.0
        self.idle_since = 0.0
        self.request_complete = False
        """Whether the request in hand was sent to its end."""
        self.tunnel = False
        self._reader = ResponseReader(limits)
        self._head: ResponseHead | None = None
        self._body: Body | None = None
        self._to_head = False
        self._interim = 0

    def connection_made(self, transport: Any) -> None:
        """The event loop's callback."""
        self.transport = transport
        transport.set_write_buffer_limits(high=HIGH_WATER)

    def send_request(self, handler: ResponseHandler, data: bytes, *, whole: bool, to_head: bool, now_s: float) -> None:
        """Send a request's first bytes, or, if it is `whole`, all of it; what comes back goes to `handler`."""
        self.handler = handler
        self.taken_at = now_s
        self.request_complete = whole
        self._to_head = to_head
        self._interim = 0
        self.write(data)

    def data_received(self, data: bytes) -> None:
        """The event loop's callback."""
        handler = self.handler
        if handler is None:  # an answer that nobody asked for
            self.drop()
        elif self.tunnel:
            handler.from_replica(data)
        else:
            try:
                if self._head is None:
                    self._begin(handler, data)
                else:
                    self._go_on(handler, data)
            except FramingError as error:
                self.drop()
                if self._head is None:
                    handler.lost(ProxyReason.BAD_RESPONSE, error.detail)
                else:
                    handler.broke_off(ProxyReason.BAD_RESPONSE)

    def _begin(self, handler: ResponseHandler, data: bytes) -> None:
        """Read a head, and what came with it."""
        reader = self._reader
        head = reader.head(data, to_head=self._to_head)
        while head is not None and head.status < 200 and head.status != 101:
            self._interim += 1  # RFC 9110 section 15.2: a proxy may keep interim answers to itself
            if self._interim > _MOST_INTERIM:
                raise FramingError(ProxyReason.BAD_RESPONSE, "too many interim answers")
            head = reader.head(reader.rest, to_head=self._to_head)
        if head is None:
            return
        content = reader.rest
        if head.length == len(content) and self.request_complete and head.status != 101:
            self.handler = None
            self._finish(head)
            handler.whole(head, content)
            return
        self._head = head
        self._body = body_of(head.length)
        handler.answered(head)
        now_for = self.handler  # the answer's head changes who takes the rest
        if now_for is None:
            return
        if not self.tunnel:
            self._go_on(now_for, content)
        elif content:
            now_for.from_replica(content)

    def _go_on(self, handler: ResponseHandler, data: bytes) -> None:
        """Read more of a body."""
        body, head = self._body, self._head
        assert body is not None and head is not None  # noqa: S101, PT018 - set together
        content = body.feed(data) if data and not body.done else b""
        rest = body.rest
        if content:
            handler.relay(content, body)
            if self.handler is not handler:
                return
        if not body.done:
            handler.flush()
            return
        self.release()
        self._finish(head, clean=not rest)
        handler.ended()

    def _finish(self, head: ResponseHead, *, clean: bool = True) -> None:
        """The answer is whole: keep the connection for the next request, or end it."""
        if clean and self.request_complete and head.keep_alive and not self.transport.is_closing():
            self.reused = True
            self.replica.keep_idle(self)
        else:
            self.end()

    def pause(self, *, paused: bool) -> None:
        """Stop or go on reading from the replica."""
        if self.transport.is_closing():
            return
        if paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def release(self) -> None:
        """Belong to no exchange any more."""
        self.handler = None
        self._head = self._body = None

    def drop(self) -> None:
        """End now; the handler is not called again."""
        self.release()
        self.replica.forget(self)
        self.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """The event loop's callback."""
        handler, head = self.handler, self._head
        self.replica.forget(self)
        if handler is None:
            return
        whole = isinstance(self._body, OpenBody) and error is None
        self.release()
        if self.tunnel or whole:
            handler.ended()
        elif head is None:
            handler.lost(ProxyReason.CONNECTION_LOST, "the connection was closed before an answer came")
        else:
            handler.broke_off(ProxyReason.CONNECTION_LOST)

    def pause_writing(self) -> None:
        """The event loop's callback: the replica does not take what it is sent."""
        if self.handler is not None:
            self.handler.replica_full(full=True)

    def resume_writing(self) -> None:
        """The event loop's callback."""
        if self.handler is not None:
            self.handler.replica_full(full=False)
