"""Attempts of a request on replicas: connect, send, and retry where that is safe, up to the head of a response."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, NoReturn

from headrace.appproxy.dataplane.balancing.admission import Refusal
from headrace.appproxy.dataplane.balancing.backend import Backend
from headrace.appproxy.dataplane.balancing.retry import Sent, Step, may_move, never_ran, next_step
from headrace.appproxy.dataplane.balancing.waiter import Waiter
from headrace.appproxy.dataplane.headers.forwarded import address_block
from headrace.appproxy.dataplane.headers.rewrite import ResponseRewrite, rewrite_response
from headrace.appproxy.dataplane.http1.bodies import Body
from headrace.appproxy.dataplane.http1.heads import RequestHead, ResponseHead
from headrace.appproxy.dataplane.inspect.usage import UsageReader
from headrace.appproxy.dataplane.ratelimit.policy import Reservation
from headrace.appproxy.dataplane.request.local_replies import failure_problem, problem_of
from headrace.appproxy.dataplane.request.relay import Relay
from headrace.appproxy.dataplane.request.states import FOLLOWING, Event, State
from headrace.appproxy.dataplane.request.tunnel import Tunnel
from headrace.appproxy.dataplane.telemetry.record import RequestRecord
from headrace.appproxy.dataplane.upstream.connection import HIGH_WATER, ReplicaConnection
from headrace.appproxy.dataplane.upstream.failures import Failure, FailureKind
from headrace.appproxy.dataplane.upstream.replica import Replica
from headrace.common.contracts.problems import Problem
from headrace.common.contracts.reasons.proxy import ProxyReason

if TYPE_CHECKING:
    from headrace.appproxy.dataplane.request.body import RequestBody
    from headrace.appproxy.dataplane.request.context import WorkerContext
    from headrace.appproxy.dataplane.request.downstream import DownstreamConnection
    from headrace.appproxy.dataplane.request.model_reader import ModelField
    from headrace.appproxy.dataplane.request.plan import RequestPlan

_NEVER: Final = float("inf")
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Attempts(Waiter):
    """Holds a lease on `replica` and a `connection` to it, while there are any. Relay or Tunnel take over with the answer's head."""

    # What most requests never set lies here, not in each instance.
    backend: Backend
    """The service, once `found`."""
    found = False
    """Whether the service is known."""
    plan: RequestPlan
    """What its head means, once that is known; what a replica gets is part of it."""
    fields = b""
    """What the replica gets as header fields, beside those that frame the body."""
    limit_fields = b""
    """Fields for the answer: the caller's limits."""
    cors_fields = b""
    """Fields for the answer: what a browser lets the page do that asks. In place of the replica's own, if any."""
    openai = False
    """Whether it came in on the fleet's base URL."""
    reservation: Reservation | None = None
    """What it holds of the caller's limits."""
    connection: ReplicaConnection | None = None
    """To the replica, from sending to the end of the answer."""
    at_fault: Replica | None = None
    """The replica that left it unanswered."""
    body: RequestBody | None = None
    json_response = b""
    """A whole answer that says something of tokens."""
    usage: UsageReader | None = None
    """What reads the answer, where it comes in pieces."""
    state = State.ARRIVED
    """Changed by `advance` only."""
    continued = False
    """Whether the caller was told to send its body."""
    fresh_only = False
    """Whether a kept connection may not be used."""
    model_field: ModelField | None = None
    """Where its body names the service and not a model of the engine's."""
    held_bytes = 0
    """Of its body, while the service that it names is looked for."""
    _task: asyncio.Task[None] | None = None

    def __init__(self, downstream: DownstreamConnection, head: RequestHead) -> None:
        self.downstream = downstream
        self.context: WorkerContext = downstream.context
        self.head: RequestHead = head
        self.record = RequestRecord(head, downstream.address, downstream.context.now())

    @property
    def caller_key(self) -> str:
        """Whose request it is, for limits and the queue: a token, a client, or an address (of IPv6 its /64)."""
        principal = self.record.principal
        if principal is None or principal.key == "public":
            return f"address:{address_block(self.record.client_address)}"
        return principal.key

    @property
    def share(self) -> int:
        """Its caller's weight in the queue."""
        principal = self.record.principal
        return principal.share if principal is not None else 1

    def answer(self, problem: Problem) -> None:
        """Answer it ourselves."""
        raise NotImplementedError

    def end(self, event: Event, last: bytes = b"") -> None:
        """Take a way out."""
        raise NotImplementedError

    def release(self) -> None:
        """Give everything back and account for it."""
        raise NotImplementedError

    def body_came(self, content: bytes) -> None:
        """More of the body came."""
        raise NotImplementedError

    def safely(self, step: Any) -> None:
        """Take a step; an error becomes the answer."""
        raise NotImplementedError

    # --- states

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self.state is State.DONE

    def advance(self, event: Event) -> None:
        """Change to the state that follows by the table. Raises IllegalTransitionError where it has none: the request has ended then."""
        following = FOLLOWING[self.state][event]
        if following is None:
            self.fault(event)
        self.state = following

    def fault(self, event: Event) -> NoReturn:
        """End a request that takes a step which the table does not know."""
        raise NotImplementedError

    # --- to a replica

    def send_to(self, replica: Replica) -> None:
        """It was chosen for this replica: send it there."""
        self.advance(Event.REPLICA_CHOSEN)
        self._try(replica)

    def _try(self, replica: Replica) -> None:
        self.replica = replica
        self.record.stats = replica.stats
        connection = replica.acquire(self)
        if connection is not None and not self.fresh_only and (self.model_field is None or replica.models is not None):
            self._send(connection)
        else:
            if connection is not None:
                replica.keep_idle(connection)
            self._task = self.context.requests.spawn(self._connect(replica))

    async def _connect(self, replica: Replica) -> None:
        if self.model_field is not None and replica.models is None:
            await replica.learn_models()
        made = await replica.connect()
        self._task = None
        if self.closed or self.replica is not replica:
            if isinstance(made, ReplicaConnection):
                replica.keep_idle(made)
        elif isinstance(made, Failure):
            self._failed(made)
        else:
            self._send(made)

    def _send(self, connection: ReplicaConnection) -> None:
        now_s = self.context.now()
        head, body, whole = self.head, self.body, self.downstream.request_complete
        self.connection = connection
        self.advance(Event.CONNECTED)
        if self.model_field is not None and body is not None:
            self.model_field.apply(body, connection.replica.models)
        data = b"".join(
            (
                head.method,
                b" ",
                self.plan.target,
                connection.replica.host_field,
                self.fields,
                b"\r\n" if body is None else body.field + b"\r\n",
            )
        )
        pieces = () if body is None else body.replay(whole=whole)
        if len(pieces) == 1:
            data += pieces[0]
            pieces = ()
        connection.send_request(self, data, whole=whole, to_head=head.method == b"HEAD", now_s=now_s)
        for piece in pieces:
            connection.write(piece)
        if self.held_bytes:
            self.context.coalescer.defer(self._held_was_sent)
        if whole:
            self.downstream.deadline = now_s + self.backend.first_byte_timeout_s
        else:
            self.wait_for_body()

    def _held_was_sent(self) -> None:
        """The body that was held is with the transport: it is held no more once the replica has taken nearly all of it."""
        connection = self.connection
        if connection is None or self.closed or connection.transport.get_write_buffer_size() <= HIGH_WATER:
            self.hold(0)

    def hold(self, size: int) -> None:
        """Count so many bytes of the body as held in memory. Raises TooLarge where it is more than the worker may hold of all bodies,
        Unavailable where it is more than others leave."""
        held = self.context.held_bodies
        if size > held.most:
            words = f"the first {held.most} bytes of the body name no model; allowed: `model` before that"
            raise problem_of(ProxyReason.BODY_TOO_LARGE, words, limit=held.most)
        if not held.change(size - self.held_bytes):
            text = "this app-proxy holds as many bytes of request bodies as it may"
            raise problem_of(ProxyReason.BODIES_FULL, text, retry_after_s=1)
        self.held_bytes = size

    def wait_for_body(self) -> None:
        """Ask the caller for its body, which something waits for."""
        if self.downstream.request_complete:
            return
        self.downstream.resume_reading("body")
        if self.head.expects and not self.continued:
            self.continued = True
            self.downstream.write(_CONTINUE)
        self.downstream.deadline = self.context.now() + self.context.proxy_limits.caller_idle_timeout_s

    def pass_on(self, content: bytes, body: RequestBody, connection: ReplicaConnection) -> None:
        """Send what came of the body to the replica."""
        framed = body.framed(content, last=self.downstream.request_complete)
        if framed:
            connection.write(framed)
        connection.request_complete = self.downstream.request_complete
        wait_s = (
            self.backend.first_byte_timeout_s
            if self.downstream.request_complete
            else self.context.proxy_limits.caller_idle_timeout_s
        )
        self.downstream.deadline = self.context.now() + wait_s

    # --- called by the connection to the replica (upstream.connection.ResponseHandler)

    def rewritten_head(self, head: ResponseHead, authority: bytes) -> tuple[ResponseRewrite, bytes]:
        """Return how a response of the replica at `authority` is rewritten for the caller, and its head."""
        context = self.context
        self.record.status = head.status
        rewrite = rewrite_response(
            head,
            minor=self.head.minor,
            closes=not self.head.keep_alive or context.requests.stopping or self.downstream.listener.refusing,
            replica=authority,
            prefix=self.plan.prefix,
        )
        date = b"" if rewrite.dated else context.date.now()
        return rewrite, rewrite.head(
            head, date=date, extra=self.limit_fields, cors=self.cors_fields, request_id=self.record.request_id
        )

    def whole(self, head: ResponseHead, content: bytes) -> None:
        """The answer came in one piece, as most do that are no streams: nothing is left to relay."""
        replica, backend, downstream = self.replica, self.backend, self.downstream
        assert replica is not None  # noqa: S101 - it answered
        self.connection = None
        if backend.has_suspects or head.status >= 500:
            backend.record_status(replica, head.status)
            if head.status in (502, 503) and self._elsewhere(head.status):
                return
        rewrite, begin = self.rewritten_head(head, replica.authority)
        self.end(Event.ANSWERED, begin + content)
        if content:  # accounted for after it has left
            self.record.first_byte_s = self.record.ended_s - self.record.started_s
            self.record.bytes_sent = len(content)
            if rewrite.usage == "json":
                self.json_response = content
        downstream.finished(closes=rewrite.closes, now_s=self.record.ended_s)

    def answered(self, head: ResponseHead) -> None:
        """The final head of an answer came, or 101."""
        connection = self.connection
        assert connection is not None and self.replica is not None  # noqa: S101, PT018 - it is what called
        backend = self.backend
        if head.status == 101:
            if not self.plan.upgrade:
                connection.drop()
                self.lost(ProxyReason.BAD_RESPONSE, "it switched protocols without being asked")
                return
            self.advance(Event.SWITCHED)
            Tunnel(self, connection).begin(head)
            return
        if backend.has_suspects or head.status >= 500:
            backend.record_status(self.replica, head.status)
        if head.status in (502, 503) and self._elsewhere(head.status):
            return
        self.advance(Event.HEAD_CAME)
        Relay(self, connection, head)

    def _elsewhere(self, status: int) -> bool:
        """Whether the engine's own 'not now' is not passed on, because another replica is asked instead."""
        failure = Failure(ProxyReason.ENGINE_UNAVAILABLE, f"replica {self.record.replica_key} answered {status}")
        if self._step(failure) != "other-replica":
            return False
        chosen = self._another()
        if chosen is None:
            return False
        if self.connection is not None:
            self.connection.drop()
        self._leave(moved=True)
        self._send_again(chosen, failure.kind)
        return True

    def lost(self, kind: FailureKind, text: str) -> None:
        """The connection ended before an answer's head."""
        connection = self.connection
        assert connection is not None  # noqa: S101
        seconds = self.context.now() - connection.taken_at
        self._failed(
            Failure(kind, f"replica {connection.replica.key}: {text}", reused=connection.reused, seconds=seconds)
        )

    def broke_off(self, why: ProxyReason) -> None:
        """Not called: Relay takes its place with the head."""

    def relay(self, content: bytes, body: Body) -> None:
        """Not called: Relay takes its place with the head."""

    def flush(self) -> None:
        """Not called: Relay takes its place with the head."""

    def ended(self) -> None:
        """Not called: Relay takes its place with the head."""

    def from_replica(self, data: bytes) -> None:
        """Not called: Tunnel takes its place with the head."""

    def replica_full(self, *, full: bool) -> None:
        """The replica does not take the body as fast as the caller sends it."""
        if full:
            self.downstream.pause_reading("replica")
        else:
            self.downstream.resume_reading("replica")
            if self.held_bytes:
                self.hold(0)

    # --- again

    def _send_again(self, replica: Replica, why: ProxyReason) -> None:
        self.advance(Event.SENT_AGAIN)
        self.record.retries += 1
        self.backend.stats.retried(why.value)
        self._try(replica)

    def _failed(self, failure: Failure) -> None:
        replica, backend = self.replica, self.backend
        assert replica is not None  # noqa: S101
        backend.record_failure(replica, failure)
        step = self._step(failure)
        chosen = replica if step == "same-replica" else None
        if step == "other-replica":
            self.tried |= {replica.key}
            chosen = self._another()
        self.connection = None
        waits = chosen is None and self._may_wait(failure)
        self._leave(moved=waits or chosen is not None)
        if waits:
            self._requeue()
            return
        if chosen is None:
            self.at_fault = replica
            self.answer(failure_problem(failure))
            return
        self.fresh_only = step == "same-replica"
        self.safely(lambda: self._send_again(chosen, failure.kind))

    def _may_wait(self, failure: Failure) -> bool:
        return never_ran(failure, sent=self.body_sent) and self.backend.table.limits.max_queued > 0

    def _requeue(self) -> None:
        """Wait for a replica, as a request that has just come."""
        self.advance(Event.NO_REPLICA_FREE)
        self.tried, self.fresh_only, self.record.stats = frozenset(), False, None
        self.downstream.deadline = _NEVER
        refusal = self.backend.requeue(self)
        if refusal is not None:
            self.turned_away(refusal)

    def move(self) -> bool:
        """Leave a replica that was taken out before it answered, for another one. Return whether that is safe and there is one."""
        replica = self.replica
        was_sent = self.connection is not None
        if replica is None or self.state not in (State.CONNECT, State.AWAIT_HEAD):
            return False
        method = self.head.method.decode()
        if not may_move(method=method, was_sent=was_sent, sent=self.body_sent, retries=self.record.retries):
            return False
        chosen = self.backend.pick_healthy(self)
        if chosen is None or (was_sent and not self.backend.may_retry()):
            return False
        self.tried |= {replica.key}
        self.fresh_only = False
        if self.connection is not None:
            self.connection.drop()
            self.connection = None
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        self._leave(moved=True)
        self.safely(lambda: self._send_again(chosen, ProxyReason.REPLICA_TAKEN_OUT))
        return True

    @property
    def body_sent(self) -> Sent:
        """What was read of the body so far."""
        return self.body.sent if self.body is not None else "nothing"

    def _step(self, failure: Failure) -> Step:
        step = next_step(
            failure,
            method=self.head.method.decode(),
            sent=self.body_sent,
            retries=self.record.retries,
            same_instant_s=self.context.proxy_limits.same_instant_s,
        )
        runs_twice = (
            failure.kind in (ProxyReason.CONNECTION_LOST, ProxyReason.ENGINE_UNAVAILABLE) and step == "other-replica"
        )
        if runs_twice and not self.backend.may_retry():
            return "give-up"
        return step

    def _another(self) -> Replica | None:
        if self.replica is not None:
            self.tried |= {self.replica.key}
        chosen = self.backend.pick(self)
        return None if isinstance(chosen, Refusal) else chosen

    def _leave(self, *, moved: bool = False) -> None:
        replica, self.replica = self.replica, None
        if replica is not None:
            replica.release(self)
            self.downstream.resume_reading("replica")
            if replica.drain is not None:
                replica.drain.retried += moved
            elif not self.backend.queue.size:
                return
            self.backend.replica_freed(replica)
