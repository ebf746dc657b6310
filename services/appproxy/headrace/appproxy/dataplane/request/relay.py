"""Relay of a response to the caller, byte for byte; an interrupted response never looks complete."""

from __future__ import annotations

import socket
import struct

from headrace.appproxy.dataplane.headers.rewrite import ResponseRewrite, rewrite_response
from headrace.appproxy.dataplane.http1.bodies import Body, ChunkedBody
from headrace.appproxy.dataplane.http1.heads import ResponseHead
from headrace.appproxy.dataplane.inspect.usage import UsageReader
from headrace.appproxy.dataplane.request.accounting import GRACE_REASONS
from headrace.appproxy.dataplane.request.body import LAST_CHUNK, chunk
from headrace.appproxy.dataplane.request.exchange import Exchange
from headrace.appproxy.dataplane.request.local_replies import error_event
from headrace.appproxy.dataplane.request.states import Event
from headrace.appproxy.dataplane.upstream.connection import BodyHandler, ReplicaConnection
from headrace.appproxy.dataplane.upstream.replica import Replica
from headrace.common.contracts.reasons.proxy import ProxyReason


def rewritten_head(exchange: Exchange, head: ResponseHead, authority: bytes) -> tuple[ResponseRewrite, bytes]:
    """Return the ResponseRewrite for the response of the replica at `authority`, and the head for the caller."""
    context = exchange.context
    exchange.record.status = head.status
    rewrite = rewrite_response(
        head,
        minor=exchange.head.minor,
        closes=not exchange.head.keep_alive or exchange.requests.stopping or exchange.downstream.listener.refusing,
        replica=authority,
        prefix=exchange.plan.prefix,
    )
    date = b"" if rewrite.dated else context.date.now()
    return rewrite, rewrite.head(
        head, date=date, extra=exchange.limit_fields, cors=exchange.plan.cors, request_id=exchange.record.request_id
    )


class Relay(BodyHandler):
    """Relays a response to the caller after its head: content from the replica, and events on the caller's side."""

    __slots__ = (
        "_connection",
        "_downstream",
        "_exchange",
        "_idle_s",
        "_last",
        "_now",
        "_replica",
        "_rewrite",
        "_unsent",
        "_write",
    )

    def __init__(self, exchange: Exchange, connection: ReplicaConnection, replica: Replica, head: ResponseHead) -> None:
        downstream = exchange.downstream
        self._exchange = exchange
        self._downstream = downstream
        self._connection = connection
        self._replica = replica
        self._now = exchange.context.now
        self._idle_s = exchange.backend.table.limits.idle_timeout_s
        self._write = downstream.write
        self._last = False
        # The head is sent with the content that came with it, or by `flush`.
        self._rewrite, self._unsent = rewritten_head(exchange, head, replica.authority)
        if self._rewrite.usage is not None:
            exchange.usage = UsageReader(self._rewrite.usage)
        downstream.deadline = self._now() + self._idle_s

    def flush(self) -> None:
        """Flush: no more content in this read."""
        if self._unsent:
            unsent, self._unsent = self._unsent, b""
            self._write(unsent)

    # --- from the replica

    def relay(self, content: bytes, body: Body) -> None:
        """Relay content."""
        exchange = self._exchange
        now_s = self._now()
        if exchange.record.first_byte_s is None:
            exchange.record.first_byte_s = now_s - exchange.record.started_s
        if self._downstream.writable:
            self._downstream.deadline = now_s + self._idle_s
        exchange.record.bytes_sent += len(content)
        usage = exchange.usage
        if usage is not None:
            usage.feed(content, now_s)
        if self._rewrite.chunked:
            content = body.raw if type(body) is ChunkedBody else chunk(content)
            if body.done:
                self._last = True
                content += LAST_CHUNK
        if self._unsent:
            content = self._unsent + content
            self._unsent = b""
        self._write(content)

    def ended(self) -> None:
        """End the complete response."""
        if self._rewrite.chunked and not self._last:
            self._write(self._unsent + LAST_CHUNK)
        else:
            self.flush()
        self._exchange.connection = None
        closes = self._rewrite.closes
        self._exchange.end(Event.ANSWERED)
        self._downstream.finished(closes=closes, now_s=self._exchange.record.ended_s)

    def interrupted(self, why: ProxyReason) -> None:
        """End a response that cannot be completed, so that no client takes it for complete.

        An event stream gets an `event: error` first. Then the connection closes: chunked and counted bodies show the
        loss by themselves; a body delimited by the close is reset (RST).
        """
        if why == ProxyReason.CONNECTION_LOST and self._replica.retired:
            why = ProxyReason.REPLICA_STOPPED  # its grace was over
            self._exchange.record.was_cut = True
        self._exchange.record.broken = why.value
        transport = self._downstream.transport
        self.flush()
        self._exchange.connection = None
        self._exchange.end(Event.ABORTED)
        if why == ProxyReason.CALLER_STALLED:
            self._downstream.discard()
            return
        if self._rewrite.events:
            event = error_event(why, self._exchange.record.request_id)
            self._write(chunk(event) if self._rewrite.chunked else event)
        if self._rewrite.until_close:
            raw = transport.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._downstream.close_midway()

    # --- from the caller

    def caller_backpressure(self, *, full: bool) -> None:
        """Backpressure from the caller: reading from the replica is paused until the caller has taken the buffered
        data.
        """
        bounds = self._exchange.context.proxy_limits
        self._downstream.deadline = self._now() + (bounds.caller_idle_timeout_s if full else self._idle_s)
        self._connection.pause(paused=full)

    def caller_left(self) -> None:
        """Handle the end of the caller's connection: the upstream connection is closed too."""
        self._exchange.leave_with_caller()

    def expired(self) -> None:
        """Handle the idle time-out of either side."""
        self.cut(ProxyReason.IDLE_TIMEOUT if self._downstream.writable else ProxyReason.CALLER_STALLED)

    def cut(self, why: ProxyReason) -> None:
        """Cut the response, with a reason."""
        self._exchange.record.was_cut = why in GRACE_REASONS
        self._connection.drop()
        self.interrupted(why)
