"""Attempt of a request on one replica: connect, send, retry; and queueing before it."""

from __future__ import annotations

from typing import Final

from headrace.appproxy.dataplane.balancing.admission import Refusal
from headrace.appproxy.dataplane.balancing.retry import Sent, Step, may_move, never_ran, next_step
from headrace.appproxy.dataplane.balancing.waiter import Waiter
from headrace.appproxy.dataplane.http1.heads import ResponseHead
from headrace.appproxy.dataplane.http1.write_coalescer import DeferredCall
from headrace.appproxy.dataplane.request.exchange import Exchange
from headrace.appproxy.dataplane.request.local_replies import as_problem, failure_problem, refusal_problem
from headrace.appproxy.dataplane.request.relay import Relay, rewritten_head
from headrace.appproxy.dataplane.request.states import Event, State
from headrace.appproxy.dataplane.request.tunnel import Tunnel
from headrace.appproxy.dataplane.upstream.connection import HIGH_WATER, HeadHandler, ReplicaConnection
from headrace.appproxy.dataplane.upstream.failures import Failure, FailureKind
from headrace.appproxy.dataplane.upstream.replica import Replica
from headrace.common.contracts.reasons.proxy import ProxyReason

_NEVER: Final = float("inf")
_NONE: Final[frozenset[str]] = frozenset()
_MAY_HAVE_RUN: Final = frozenset(
    {ProxyReason.CONNECTION_LOST, ProxyReason.REPLICA_UNREACHABLE, ProxyReason.ENGINE_UNAVAILABLE}
)
_NO_PIECES: Final[list[bytes]] = []
"""Stays empty."""


def admit(exchange: Exchange) -> None:
    """Send an authorised request to a replica, or queue it. Raises Problem."""
    chosen = exchange.backend.admit(exchange.affinity_key)
    if isinstance(chosen, Replica):
        exchange.advance(Event.REPLICA_CHOSEN)
        Attempt(exchange, chosen).begin()
        return
    waiter = QueuedRequest(exchange)
    refused = exchange.backend.enqueue(waiter, chosen)
    if refused is not None:
        raise refusal_problem(refused)
    exchange.waiter = waiter
    exchange.advance(Event.NO_REPLICA_FREE)


class QueuedRequest(Waiter):
    """Request in its service's queue (a Waiter)."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange.caller_key, exchange.share, exchange.affinity_key)
        self._exchange = exchange

    def send_to(self, replica: Replica) -> None:
        """Start an attempt on this replica."""
        try:
            self._exchange.advance(Event.REPLICA_CHOSEN)
            Attempt(self._exchange, replica).begin()
        except Exception as error:  # noqa: BLE001 - the outermost layer: every error becomes a problem
            self._exchange.answer(as_problem(error))

    def refuse(self, refusal: Refusal) -> None:
        """Refuse the request: it left the queue without a replica."""
        self._exchange.answer(refusal_problem(refusal))


class Attempt(HeadHandler):
    """One attempt of a request on one replica, up to the response head; then a Relay or a Tunnel takes over."""

    __slots__ = ("_exchange", "_replica")

    def __init__(self, exchange: Exchange, replica: Replica) -> None:
        self._exchange = exchange
        self._replica = replica

    # --- out

    def begin(self, *, fresh_only: bool = False) -> None:
        """Acquire the replica, and send the request on a kept-alive connection, or on a new one (always if
        `fresh_only`).
        """
        exchange, replica = self._exchange, self._replica
        exchange.attempt, exchange.replica = self, replica
        exchange.record.stats = replica.stats
        connection = replica.acquire(self)
        if connection is not None and not fresh_only and (exchange.model_field is None or replica.models is not None):
            self._send(connection)
        else:
            if connection is not None:
                replica.keep_idle(connection)
            exchange.connecting = exchange.context.tasks.spawn(self._connect())

    async def _connect(self) -> None:
        exchange, replica = self._exchange, self._replica
        if exchange.model_field is not None and replica.models is None:
            await replica.fetch_models()
        made = await replica.connect()
        if exchange.attempt is not self:
            if isinstance(made, ReplicaConnection):
                replica.keep_idle(made)
            return
        exchange.connecting = None
        if isinstance(made, Failure):
            self._failed(made)
            return
        try:
            self._send(made)
        except Exception as error:  # noqa: BLE001 - nobody awaits this task: the caller would get no response at all
            exchange.answer(as_problem(error))

    def _send(self, connection: ReplicaConnection) -> None:
        exchange = self._exchange
        now_s = exchange.context.now()
        head, body, whole = exchange.head, exchange.body, exchange.downstream.request_complete
        exchange.connection = connection
        exchange.advance(Event.CONNECTED)
        if exchange.model_field is not None and body is not None:
            exchange.model_field.apply(body, self._replica.models)
        pieces = _NO_PIECES if body is None else body.replay(whole=whole)
        at_once = len(pieces) == 1
        plan = exchange.plan
        data = b"".join(
            (
                head.method,
                b" ",
                plan.target,
                self._replica.host_field,
                plan.fields,
                exchange.record.request_id,
                b"\r\n",
                exchange.fields,
                b"" if body is None else body.field,
                b"\r\n",
                pieces[0] if at_once else b"",
            )
        )
        connection.send_request(self, data, whole=whole, to_head=head.method == b"HEAD", now_s=now_s)
        if not at_once:
            for piece in pieces:
                connection.write(piece)
        if exchange.held_bytes:
            exchange.context.coalescer.defer(DeferredCall(self._release_sent_body))
        if whole:
            exchange.downstream.deadline = now_s + exchange.backend.first_byte_timeout_s
        else:
            exchange.wait_for_body()

    def replica_backpressure(self, *, full: bool) -> None:
        """Backpressure from the replica: it takes the body more slowly than the caller sends it."""
        exchange = self._exchange
        if full:
            exchange.downstream.pause_reading("replica")
        else:
            exchange.downstream.resume_reading("replica")
            if exchange.held_bytes:
                exchange.hold(0)

    # --- a response

    def whole(self, head: ResponseHead, content: bytes) -> None:
        """Relay a response that arrived complete, as most that are no streams do."""
        exchange = self._exchange
        backend, downstream, record = exchange.backend, exchange.downstream, exchange.record
        exchange.connection = None
        if backend.has_suspects or head.status >= 500:
            backend.record_status(self._replica, head.status)
            if head.status in (502, 503) and self._retry_unavailable(head.status):
                return
        rewrite, begin = rewritten_head(exchange, head, self._replica.authority)
        exchange.end(Event.ANSWERED, begin + content)
        if content:  # accounted for after it was sent
            record.first_byte_s = record.ended_s - record.started_s
            record.bytes_sent = len(content)
            if rewrite.usage == "json":
                exchange.json_response = content
        downstream.finished(closes=rewrite.closes, now_s=record.ended_s)

    def answered(self, connection: ReplicaConnection, head: ResponseHead) -> None:
        """Start the relay after the final response head, or the tunnel after a 101."""
        exchange = self._exchange
        if head.status == 101:
            if exchange.plan.upgrade:
                exchange.advance(Event.SWITCHED)
                exchange.active_response = tunnel = Tunnel(exchange, connection)
                tunnel.begin(head)
            else:
                connection.drop()
                self.lost(connection, ProxyReason.BAD_RESPONSE, "it switched protocols without being asked")
            return
        backend = exchange.backend
        if backend.has_suspects or head.status >= 500:
            backend.record_status(self._replica, head.status)
        if head.status in (502, 503) and self._retry_unavailable(head.status):
            return
        exchange.advance(Event.HEAD_RECEIVED)
        exchange.active_response = relay = Relay(exchange, connection, self._replica, head)
        connection.relay_to(relay)

    def _retry_unavailable(self, status: int) -> bool:
        """Retry on another replica after an engine's own 502 or 503; return False if the response is to be relayed."""
        exchange = self._exchange
        failure = Failure(ProxyReason.ENGINE_UNAVAILABLE, f"replica {self._replica.key} answered {status}")
        if self._step(failure) != "other-replica":
            return False
        chosen = self._another()
        if chosen is None:
            return False
        exchange.drop_connection()
        exchange.leave_replica(moved=True)
        _retry(exchange, chosen, failure.kind)
        return True

    # --- no response

    def lost(self, connection: ReplicaConnection, kind: FailureKind, text: str) -> None:
        """Handle a connection that ended before the response head."""
        seconds = self._exchange.context.now() - connection.taken_at
        self._failed(Failure(kind, f"replica {self._replica.key}: {text}", reused=connection.reused, seconds=seconds))

    def timed_out(self) -> None:
        """Handle a time-out before the response head."""
        exchange = self._exchange
        exchange.drop_connection()
        text = f"no answer from replica {self._replica.key} within {exchange.backend.first_byte_timeout_s:g} s"
        self._failed(Failure(ProxyReason.FIRST_BYTE_TIMEOUT, text))

    def _failed(self, failure: Failure) -> None:
        exchange, replica = self._exchange, self._replica
        exchange.backend.record_failure(replica, failure)
        step = self._step(failure)
        chosen = replica if step == "same-replica" else None
        if step == "other-replica":
            chosen = self._another()
        exchange.connection = None
        waits = chosen is None and self._may_wait(failure)
        exchange.leave_replica(moved=waits or chosen is not None)
        if chosen is not None:
            _retry(exchange, chosen, failure.kind, fresh_only=step == "same-replica")
        elif waits:
            self._requeue()
        else:
            exchange.at_fault = replica
            exchange.answer(failure_problem(failure))

    def _may_wait(self, failure: Failure) -> bool:
        return never_ran(failure, sent=self._body_sent) and self._exchange.backend.table.limits.max_queued > 0

    def _requeue(self) -> None:
        """Queue the request as if it were new."""
        exchange = self._exchange
        exchange.advance(Event.NO_REPLICA_FREE)
        exchange.tried, exchange.record.stats = _NONE, None
        exchange.downstream.deadline = _NEVER
        waiter = exchange.waiter
        if waiter is None:
            waiter = exchange.waiter = QueuedRequest(exchange)
        refusal = exchange.backend.requeue(waiter)
        if refusal is not None:
            waiter.refuse(refusal)

    def cut_now(self, why: ProxyReason) -> None:
        """Cut the request: its replica is being stopped."""
        self._exchange.cut(why)

    def move(self) -> bool:
        """Move the request from an ejected replica to another one, before any response. Return True if that was safe
        and possible.
        """
        exchange, replica = self._exchange, self._replica
        was_sent = exchange.state is State.AWAIT_HEAD
        if not was_sent and exchange.state is not State.CONNECT:
            return False
        method = exchange.head.method.decode()
        if not may_move(method=method, was_sent=was_sent, sent=self._body_sent, retries=exchange.record.retries):
            return False
        tried = exchange.tried | {replica.key}
        chosen = exchange.backend.pick_healthy(exchange.affinity_key, tried)
        if chosen is None or (was_sent and not exchange.backend.may_retry()):
            return False
        exchange.tried = tried
        exchange.drop_connection()
        exchange.leave_replica(moved=True)
        _retry(exchange, chosen, ProxyReason.REPLICA_TAKEN_OUT)
        return True

    @property
    def _body_sent(self) -> Sent:
        """State of the body: how much of it was read and sent."""
        body = self._exchange.body
        return body.sent if body is not None else "nothing"

    def _step(self, failure: Failure) -> Step:
        exchange = self._exchange
        step = next_step(
            failure,
            method=exchange.head.method.decode(),
            sent=self._body_sent,
            retries=exchange.record.retries,
            same_instant_s=exchange.context.proxy_limits.same_instant_s,
        )
        runs_twice = failure.kind in _MAY_HAVE_RUN and step == "other-replica"
        if runs_twice and not exchange.backend.may_retry():
            return "give-up"
        return step

    def _another(self) -> Replica | None:
        exchange = self._exchange
        exchange.tried |= {self._replica.key}
        chosen = exchange.backend.pick(exchange.affinity_key, exchange.tried)
        return None if isinstance(chosen, Refusal) else chosen

    def _release_sent_body(self) -> None:
        """Release the buffered body once the replica has taken nearly all of it."""
        exchange = self._exchange
        connection = exchange.connection
        if connection is None or exchange.attempt is not self:
            return
        if connection.transport.get_write_buffer_size() <= HIGH_WATER:
            exchange.hold(0)


def _retry(exchange: Exchange, replica: Replica, why: ProxyReason, *, fresh_only: bool = False) -> None:
    try:
        exchange.advance(Event.RETRIED)
        exchange.record.retries += 1
        exchange.backend.stats.retried(why.value)
        Attempt(exchange, replica).begin(fresh_only=fresh_only)
    except Exception as error:  # noqa: BLE001 - the outermost layer: every error becomes a problem
        exchange.answer(as_problem(error))
