"""An exchange: one request from its head to its end, its state, and the release of its resources."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, NoReturn, Protocol

import structlog

from headrace.appproxy.dataplane.balancing.backend import Backend
from headrace.appproxy.dataplane.balancing.waiter import Waiter
from headrace.appproxy.dataplane.headers.forwarded import address_block
from headrace.appproxy.dataplane.http1.heads import FramingError, RequestHead
from headrace.appproxy.dataplane.inspect.usage import UsageReader
from headrace.appproxy.dataplane.ratelimit.policy import Reservation
from headrace.appproxy.dataplane.request.accounting import GRACE_REASONS, note_end, settle
from headrace.appproxy.dataplane.request.body import RequestBody
from headrace.appproxy.dataplane.request.downstream import DownstreamConnection, RequestHandler
from headrace.appproxy.dataplane.request.local_replies import (
    as_problem,
    framing_problem,
    internal_error,
    interruption_problem,
    problem_of,
    problem_reply,
)
from headrace.appproxy.dataplane.request.model_field import ModelField
from headrace.appproxy.dataplane.request.plan import NO_PLAN
from headrace.appproxy.dataplane.request.states import EVENTS, FOLLOWING, Event, IllegalTransitionError, State
from headrace.appproxy.dataplane.telemetry.record import RequestRecord
from headrace.appproxy.dataplane.upstream.connection import HeadHandler, ReplicaConnection
from headrace.appproxy.dataplane.upstream.replica import Replica
from headrace.common.contracts.problems import Problem
from headrace.common.contracts.reasons.proxy import ProxyReason

log = structlog.get_logger(__name__)
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_NONE: Final[frozenset[str]] = frozenset()


class OpenRequests:
    """Requests of a worker that have not ended."""

    def __init__(self) -> None:
        self.open: set[Exchange] = set()
        self.stopping = False
        """True if no new requests are taken."""


class ActiveResponse(Protocol):
    """Response in progress, a relay or a tunnel, and its reactions to events on the caller's side."""

    def caller_backpressure(self, *, full: bool) -> None:
        """Backpressure from the caller: writing is paused, or may go on."""

    def caller_left(self) -> None:
        """Handle the end of the caller's connection."""

    def expired(self) -> None:
        """Handle the idle time-out."""

    def cut(self, why: ProxyReason) -> None:
        """Cut the response, with a reason."""


class Exchange(RequestHandler):
    """One request with its state and everything to be released: queue place, replica, connection, reservation, buffered
    bytes.

    All of it is released in `end`, however the request ends. `ingress` takes it in, `attempt` to a replica, `relay` or
    `tunnel` through the response.
    """

    # Class attributes: defaults of what most requests never set.
    backend: Backend
    """Backend of the service, once `found`."""
    found = False
    """True once the service is known."""
    plan = NO_PLAN
    """Routing and policy decisions for its head, once computed."""
    fields = b""
    """Header fields for the replica, without those of the plan, X-Request-Id, and those that frame the body."""
    limit_fields = b""
    """Rate-limit fields for the response."""
    openai = False
    """True for a request at the fleet's base URL."""
    reservation: Reservation | None = None
    """Its rate-limit reservation."""
    affinity_key: int | None = None
    """Affinity key, under session and prefix policies."""
    waiter: Waiter | None = None
    """Its place in the queue, once it was queued."""
    tried: frozenset[str] = _NONE
    """Replicas on which it failed."""
    attempt: HeadHandler | None = None
    """Current attempt on `replica`, also after the response head."""
    replica: Replica | None = None
    connection: ReplicaConnection | None = None
    """Upstream connection, from sending to the end of the response."""
    connecting: asyncio.Task[None] | None = None
    at_fault: Replica | None = None
    """Replica that sent no response."""
    body: RequestBody | None = None
    inspect_body: Callable[[bytes], None] | None = None
    """Consumer of body content before a replica is chosen."""
    model_field: ModelField | None = None
    """Position of the service's name in the body, if it is no model of the engine's."""
    held_bytes = 0
    """Bytes of its body buffered while the service is looked up."""
    continued = False
    """True if 100 Continue was sent."""
    usage: UsageReader | None = None
    """Usage reader of a response that comes in pieces."""
    json_response = b""
    """Complete JSON response, for its usage."""

    def __init__(self, requests: OpenRequests, downstream: DownstreamConnection, head: RequestHead) -> None:
        self.state: State = State.ARRIVED
        """Changed by `advance` only."""
        self.requests = requests
        self.downstream = downstream
        self.context = context = downstream.context
        self.head = head
        self.record = RequestRecord(head, downstream.address, context.now())
        self.active_response: ActiveResponse | None = (
            None  # mypyc drops a class attribute of a protocol's type with the default None
        )
        """Relay or tunnel of the response, once it has begun."""

    @property
    def caller_key(self) -> str:
        """Key of the caller for limits and queue: a token, a client, or an address (of IPv6 its /64)."""
        principal = self.record.principal
        if principal is None or principal.key == "public":
            return f"address:{address_block(self.record.client_address)}"
        return principal.key

    @property
    def share(self) -> int:
        """Weight of the caller in the queue."""
        principal = self.record.principal
        return principal.share if principal is not None else 1

    # --- states

    def advance(self, event: int) -> None:
        """Change to the state that follows this Event in the transition table.

        Raises IllegalTransitionError if there is none: the request has been ended then.
        """
        state: int = self.state  # as plain numbers: a look-up by enum costs compiled code four times as much
        following = FOLLOWING[state * EVENTS + event]
        if following is None:
            self._end_after_fault(Event(event))
        self.state = following

    def _end_after_fault(self, event: Event) -> NoReturn:
        """End a request after an illegal transition: with 500, or, in the middle of a response, by closing its
        connection.
        """
        state = self.state
        self.context.stats.count_illegal_transition(state.name, event.name)
        log.error(
            "illegal_transition", state=state.name, transition=event.name, request_id=self.record.request_id.decode()
        )
        if state < State.STREAM:
            self.answer(internal_error())
        elif state is not State.DONE:
            self.drop_connection()
            self.record.broken = ProxyReason.INTERNAL_ERROR.value
            self.end(Event.FAULT)
            self.downstream.discard()
        raise IllegalTransitionError(state, event)

    # --- the request's body

    def hold(self, size: int) -> None:
        """Count bytes of the body as buffered.

        Raises TooLarge if they exceed the worker's limit for all bodies, Unavailable if they exceed what other requests
        leave of it.
        """
        held = self.context.held_bodies
        if size > held.most:
            words = f"the first {held.most} bytes of the body name no model; allowed: `model` before that"
            raise problem_of(ProxyReason.BODY_TOO_LARGE, words, limit=held.most)
        if not held.change(size - self.held_bytes):
            text = "this app-proxy holds as many bytes of request bodies as it may"
            raise problem_of(ProxyReason.BODIES_FULL, text, retry_after_s=1)
        self.held_bytes = size

    def wait_for_body(self) -> None:
        """Ask the caller for its body (100 Continue) and resume reading."""
        if self.downstream.request_complete:
            return
        self.downstream.resume_reading("body")
        if self.head.expects and not self.continued:
            self.continued = True
            self.downstream.write(_CONTINUE)
        self.downstream.deadline = self.context.now() + self.context.proxy_limits.caller_idle_timeout_s

    def body_received(self, content: bytes) -> None:
        """Handle body content; the connection's `request_complete` is True with the last of it."""
        body = self.body
        if body is None:
            return
        try:
            body.add(content, forget=self.connection is not None)
            if self.connection is not None:
                self._send_on(self.connection, body, content)
            elif self.inspect_body is not None:
                self.downstream.deadline = self.context.now() + self.context.proxy_limits.caller_idle_timeout_s
                self.inspect_body(content)
            elif body.full and not self.downstream.request_complete:
                self.downstream.pause_reading("body")
        except Exception as error:  # noqa: BLE001 - the outermost layer: every error becomes a problem
            self.answer(as_problem(error))

    def _send_on(self, connection: ReplicaConnection, body: RequestBody, content: bytes) -> None:
        """Send body content to the replica."""
        downstream = self.downstream
        framed = body.framed(content, last=downstream.request_complete)
        if framed:
            connection.write(framed)
        connection.request_complete = downstream.request_complete
        wait_s = (
            self.backend.first_byte_timeout_s
            if downstream.request_complete
            else self.context.proxy_limits.caller_idle_timeout_s
        )
        downstream.deadline = self.context.now() + wait_s

    def body_malformed(self, error: FramingError) -> None:
        """Handle a framing error in the body."""
        if self.active_response is not None:
            self.active_response.cut(ProxyReason.CONNECTION_LOST)
        else:
            self.answer(framing_problem(error))

    # --- other events on the caller's side

    def caller_backpressure(self, *, full: bool) -> None:
        """Backpressure from the caller: writing is paused, or may go on."""
        if self.active_response is not None:
            self.active_response.caller_backpressure(full=full)

    def caller_left(self) -> None:
        """Handle the end of the caller's connection: the upstream connection is closed too."""
        if self.active_response is not None:
            self.active_response.caller_left()
        else:
            self.leave_with_caller()

    def leave_with_caller(self) -> None:
        """End the request and its upstream connection: there is nobody to respond to."""
        self.record.caller_gone = True
        if self.connection is not None:
            self.connection.drop()
        self.end(Event.CALLER_LEFT)

    def expired(self) -> None:
        """Handle the downstream connection's expired deadline."""
        if self.active_response is not None:
            self.active_response.expired()
        elif not self.downstream.request_complete:
            seconds = self.context.proxy_limits.caller_idle_timeout_s
            self.answer(problem_of(ProxyReason.CALLER_IDLE, f"no byte of the request body came for {seconds:g} s"))
        elif self.attempt is not None and self.state is State.AWAIT_HEAD:
            self.attempt.timed_out()

    # --- ends

    def cut(self, why: ProxyReason) -> None:
        """Cut the request with a reason, or move it to another replica where that is safe."""
        if self.active_response is not None:
            self.active_response.cut(why)
            return
        if why == ProxyReason.REPLICA_STOPPED and self.attempt is not None and self.attempt.move():
            return
        self.record.was_cut = why in GRACE_REASONS
        self.answer(interruption_problem(why))

    def answer(self, problem: Problem) -> None:
        """Respond with a local reply for this error."""
        if self.state is State.DONE:
            return
        self.drop_connection()
        self.record.status = problem.status
        self.record.reason = str(problem.extra.get("reason", problem.type))
        self.reply(
            problem_reply(
                problem,
                request_id=self.record.request_id,
                closes=self.closes,
                extra=self.limit_fields + self.plan.cors,
                fleet=self.openai,
                to_head=self.head.method == b"HEAD",
            )
        )

    @property
    def closes(self) -> bool:
        """True if the caller's connection is closed after a local reply."""
        return (
            not self.head.keep_alive
            or not self.downstream.request_complete
            or self.requests.stopping
            or self.downstream.listener.refusing
        )

    def reply(self, answer: bytes) -> None:
        """Write a complete local reply, and end."""
        closes = self.closes
        self.record.bytes_sent = len(answer) - answer.index(b"\r\n\r\n") - 4
        self.end(Event.REPLIED, answer)
        self.downstream.finished(closes=closes, now_s=self.record.ended_s)

    def end(self, event: int, last: bytes = b"") -> None:
        """End the request: write the `last` bytes, release everything, and account for it."""
        self.advance(event)
        if last:
            self.downstream.write(last)
        self.requests.open.discard(self)
        if self.held_bytes:
            self.hold(0)
        waiter, self.waiter = self.waiter, None
        if waiter is not None:
            if waiter.ticket is not None:
                self.backend.cancel(waiter)
            self.record.queued_s = waiter.queued_s
        note_end(self.record, self.context.now(), self.replica, self.at_fault)
        self.context.coalescer.defer(self)
        self.leave_replica()
        self.active_response = None

    def drop_connection(self) -> None:
        """Close the upstream connection, if there is one."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.drop()

    def leave_replica(self, *, moved: bool = False) -> None:
        """Release the replica. `moved`: the request goes to another one, or is queued again."""
        replica, attempt, connecting = self.replica, self.attempt, self.connecting
        if replica is None or attempt is None:
            return
        self.replica = self.attempt = None
        if connecting is not None:
            self.connecting = None
            connecting.cancel()
        replica.release(attempt)
        self.downstream.resume_reading("replica")
        if replica.drain is not None:
            replica.drain.retried += moved
        elif not self.backend.queue.size:
            return
        self.backend.replica_freed(replica)

    def run_deferred(self) -> None:
        """Account for the request, after the response was sent so that no caller waits for it."""
        if self.body is not None:
            self.record.bytes_received += self.body.size
        settle(
            self.context,
            self.record,
            self.backend.stats if self.found else None,
            self.reservation,
            self.usage,
            self.json_response,
            was_sent=self.connection is not None,
        )
