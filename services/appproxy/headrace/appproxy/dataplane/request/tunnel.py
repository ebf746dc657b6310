"""WebSocket tunnel after `101 Switching Protocols`: relays bytes both ways.

Frames, pings, close codes and extensions are the peers' own. Only a caller that lost access gets a close frame of the
proxy, between two of the replica's frames.
"""

from __future__ import annotations

from headrace.appproxy.dataplane.auth.access import DENIALS
from headrace.appproxy.dataplane.headers.rewrite import switching_head
from headrace.appproxy.dataplane.http1.heads import ResponseHead
from headrace.appproxy.dataplane.http1.websocket import POLICY_VIOLATION, FrameTracker, close_frame
from headrace.appproxy.dataplane.request.accounting import GRACE_REASONS
from headrace.appproxy.dataplane.request.exchange import Exchange
from headrace.appproxy.dataplane.request.local_replies import interruption_problem
from headrace.appproxy.dataplane.request.states import Event
from headrace.appproxy.dataplane.upstream.connection import ReplicaConnection, TunnelHandler
from headrace.common.contracts.reasons.proxy import ProxyReason


class Tunnel(TunnelHandler):
    """Relays bytes both ways after a 101, until one side ends or the idle time-out.

    The end is forwarded after everything that came before it.
    """

    __slots__ = ("_connection", "_downstream", "_exchange", "_frames")

    def __init__(self, exchange: Exchange, connection: ReplicaConnection) -> None:
        self._exchange = exchange
        self._connection = connection
        self._downstream = exchange.downstream
        self._frames = FrameTracker()
        """Frame boundaries of the data sent to the caller."""

    def begin(self, head: ResponseHead) -> None:
        """Send the 101."""
        exchange = self._exchange
        exchange.record.status, exchange.record.upgraded = 101, True
        self._connection.tunnel_to(self)
        self._downstream.write(
            switching_head(
                head,
                extra=exchange.limit_fields,
                request_id=exchange.record.request_id,
                subprotocol=exchange.plan.subprotocol,
            )
        )
        self._touch()
        self._downstream.tunnel(self.from_caller)

    def _touch(self) -> None:
        self._downstream.deadline = self._exchange.context.now() + self._exchange.backend.table.limits.idle_timeout_s

    def from_replica(self, data: bytes) -> None:
        """Relay bytes to the caller."""
        self._touch()
        self._exchange.record.bytes_sent += len(data)
        self._frames.feed(data)
        self._downstream.write(data)

    def from_caller(self, data: bytes) -> None:
        """Relay bytes to the replica."""
        self._touch()
        self._exchange.record.bytes_received += len(data)
        self._connection.write(data)

    def ended(self) -> None:
        """Handle the end of the replica's connection."""
        self._end(Event.ANSWERED)
        self._downstream.close_gracefully()

    def caller_left(self) -> None:
        """Handle the end of the caller's connection: data that it sent before is still flushed to the replica."""
        self._close_upstream()
        self._end(Event.CALLER_LEFT)

    def _close_upstream(self) -> None:
        self._connection.release()
        self._connection.end()

    def _end(self, event: Event) -> None:
        self._exchange.connection = None
        self._exchange.end(event)

    def expired(self) -> None:
        """Handle the idle time-out."""
        self._exchange.record.broken = ProxyReason.IDLE_TIMEOUT.value
        self._close_upstream()
        self._end(Event.ABORTED)
        self._downstream.close_gracefully()

    def cut(self, why: ProxyReason) -> None:
        """Cut the tunnel.

        A caller that lost access gets a close frame, unless a frame is incomplete: then none can be inserted.
        """
        self._exchange.record.broken, self._exchange.record.was_cut = why.value, why in GRACE_REASONS
        denied = why in DENIALS
        if denied and self._frames.between:
            self._downstream.write(close_frame(POLICY_VIOLATION, interruption_problem(why).detail))
        self._close_upstream()
        self._end(Event.ABORTED)
        self._downstream.close_gracefully(
            unread=denied
        )  # further input of the caller must not reset the connection before the frame is read

    def caller_backpressure(self, *, full: bool) -> None:
        """Backpressure from the caller: reading from the replica is paused."""
        self._connection.pause(paused=full)
