"""An exchange: one request from its head to its end, and the release of all that it holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn

import structlog

from headrace.appproxy.dataplane.balancing.admission import Refusal
from headrace.appproxy.dataplane.balancing.backend import Backend
from headrace.appproxy.dataplane.http1.heads import FramingError
from headrace.appproxy.dataplane.ratelimit.policy import Verdict
from headrace.appproxy.dataplane.request import ingress
from headrace.appproxy.dataplane.request.accounting import GRACE_REASONS, note_end, settle
from headrace.appproxy.dataplane.request.attempts import Attempts
from headrace.appproxy.dataplane.request.local_replies import (
    as_problem,
    framing_problem,
    internal_error,
    interruption_problem,
    problem_of,
    problem_reply,
    refusal_problem,
)
from headrace.appproxy.dataplane.request.states import Event, IllegalTransitionError, State
from headrace.appproxy.dataplane.upstream.failures import Failure
from headrace.common.contracts.messages.routes import RateLimits
from headrace.common.contracts.problems import Problem
from headrace.common.contracts.reasons.proxy import ProxyReason

log = structlog.get_logger(__name__)
_NEVER: Final = float("inf")


class Exchange(Attempts):
    """What it holds (a lease, a place in the queue, a reservation, a connection) is given back in `release`, however it ends.

    Waits in this order: for the head of the body where something in it decides (`inspect_body`), for the caller's limits, in the
    service's queue, for a connection, for the answer.
    """

    early_body = b""
    """Content that came with the head."""
    inspect_body: Callable[[bytes], None] | None = None
    """Wants to see content before a replica is chosen."""

    # --- in

    def begin(self) -> None:
        """Start. From here on it ends by itself, whatever happens."""
        self.downstream.deadline = _NEVER
        self.context.requests.open.add(self)
        try:
            ingress.enter(self)
        except Exception as error:  # noqa: BLE001 - the outermost layer: every error becomes a problem
            self.answer(as_problem(error))

    def safely(self, step: Callable[[], None]) -> None:
        """Take a step; an error becomes the answer."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - the outermost layer: every error becomes a problem
            self.answer(as_problem(error))

    def enter_service(self, backend: Backend, authorization: bytes | None) -> None:
        """The service became known after a look into the body."""
        self.safely(lambda: ingress.enter_service(self, backend, authorization))

    def reserve(self, limits: RateLimits, tokens: int) -> None:
        """Ask whether the caller's limits allow it, with this many tokens, and go on if they do. Raises Problem."""
        caller = f"{self.backend.key}:{self.caller_key}"
        verdict = self.context.rate_limiter.reserve_now(caller, limits, tokens)
        if verdict is not None:
            self._judged(verdict)
        else:  # not to be cancelled: what it reserved has to be given back
            self.advance(Event.STORE_ASKED)
            self.context.requests.spawn(self._reserve(caller, limits, tokens))

    async def _reserve(self, caller: str, limits: RateLimits, tokens: int) -> None:
        try:
            verdict = await self.context.rate_limiter.reserve(caller, limits, tokens)
        except Exception as error:  # noqa: BLE001 - nobody waits for this task: the caller would get no answer at all
            if not self.closed:
                self.answer(as_problem(error))
            return
        if self.closed:
            self.context.settle(verdict.reservation, 0)
        else:
            self.safely(lambda: self._judged(verdict))

    def _judged(self, verdict: Verdict) -> None:
        self.reservation = verdict.reservation
        self.limit_fields = verdict.fields
        if verdict.code is not None:
            raise problem_of(verdict.code, verdict.text, retry_after_s=verdict.retry_after_s)
        self.admit()

    def admit(self) -> None:
        """The caller is let in: go to a replica, or wait for one. Raises Problem."""
        chosen = self.backend.admit(self)
        if isinstance(chosen, Refusal):
            raise refusal_problem(chosen)
        if chosen is not None:
            self.send_to(chosen)
        else:
            self.advance(Event.NO_REPLICA_FREE)

    def cut_now(self, why: ProxyReason) -> None:
        """End it by whoever has it in hand: this, or the Relay or Tunnel that took its place."""
        (self.downstream.exchange or self).cut(why)

    def turned_away(self, refusal: Refusal) -> None:
        """The queue gives up on it."""
        self.answer(refusal_problem(refusal))

    def body_came(self, content: bytes) -> None:
        """More of the body came; the connection's `request_complete` says whether that was the last."""
        if self not in self.context.requests.open:  # the first of it comes with the head, before `begin`
            self.early_body += content
        elif self.body is not None:
            self._take_safely(content)

    def _take_safely(self, content: bytes) -> None:
        self.safely(lambda: self._take(content))

    def _take(self, content: bytes) -> None:
        body, connection = self.body, self.connection
        assert body is not None  # noqa: S101 - asked for by who calls
        body.add(content, forget=connection is not None)
        if connection is not None:
            self.pass_on(content, body, connection)
        elif self.inspect_body is not None:
            self.downstream.deadline = self.context.now() + self.context.proxy_limits.caller_idle_timeout_s
            self.inspect_body(content)
        elif body.full and not self.downstream.request_complete:
            self.downstream.pause_reading("body")

    def bad_body(self, error: FramingError) -> None:
        """The body is not framed as its head says."""
        self.answer(framing_problem(error))

    # --- out

    def caller_full(self, *, full: bool) -> None:
        """Nothing is being written to the caller yet."""

    def caller_left(self) -> None:
        """The caller's connection is gone: so is its connection to the replica."""
        self.record.caller_gone = True
        if self.connection is not None:
            self.connection.drop()
        self.end(Event.CALLER_LEFT)

    def expired(self) -> None:
        """The downstream connection's deadline is over."""
        if not self.downstream.request_complete:
            seconds = self.context.proxy_limits.caller_idle_timeout_s
            self.answer(problem_of(ProxyReason.CALLER_IDLE, f"no byte of the request body came for {seconds:g} s"))
        elif self.connection is not None:
            self.connection.drop()
            text = f"no answer from replica {self.record.replica_key} within {self.backend.first_byte_timeout_s:g} s"
            self._failed(Failure(ProxyReason.FIRST_BYTE_TIMEOUT, text))

    def cut(self, why: ProxyReason) -> None:
        """End it now, and say why; what may still go to another replica does."""
        if why == ProxyReason.REPLICA_STOPPED and self.move():
            return
        self.record.was_cut = why in GRACE_REASONS
        self.answer(interruption_problem(why))

    def answer(self, problem: Problem) -> None:
        """Answer it ourselves."""
        if self.closed:
            return
        if self.connection is not None:
            self.connection.drop()
            self.connection = None
        self.record.status = problem.status
        self.record.reason = str(problem.extra.get("reason", problem.type))
        self.reply(
            problem_reply(
                problem,
                request_id=self.record.request_id,
                closes=self.closes,
                extra=self.limit_fields + self.cors_fields,
                fleet=self.openai,
                to_head=self.head.method == b"HEAD",
            )
        )

    @property
    def closes(self) -> bool:
        """Whether the caller's connection ends with an answer of our own."""
        return (
            not self.head.keep_alive
            or not self.downstream.request_complete
            or self.context.requests.stopping
            or self.downstream.listener.refusing
        )

    def reply(self, answer: bytes) -> None:
        """Write a whole answer of our own, and end."""
        closes = self.closes
        self.end(Event.REPLIED, answer)
        self.downstream.finished(closes=closes, now_s=self.record.ended_s)

    def end(self, event: Event, last: bytes = b"") -> None:
        """Take a way out: write the `last` bytes for the caller, give everything back and account for it."""
        self.advance(event)
        if last:
            self.downstream.write(last)
        self.release()

    def fault(self, event: Event) -> NoReturn:
        """End a request that takes a step which the table does not know: with 500, or, in the middle of a response, with its
        connection."""
        state = self.state
        self.context.stats.count_illegal_transition(state.name, event.name)
        log.error(
            "illegal_transition", state=state.name, transition=event.name, request_id=self.record.request_id.decode()
        )
        if state < State.STREAM:
            self.answer(internal_error())
        elif state is not State.DONE:
            if self.connection is not None:
                self.connection.drop()
                self.connection = None
            self.record.broken = ProxyReason.INTERNAL_ERROR.value
            self.end(Event.FAULT)
            self.downstream.discard()
        raise IllegalTransitionError(state, event)

    def release(self) -> None:
        """Give everything back and account for it."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        self.context.requests.open.discard(self)
        if self.held_bytes:
            self.hold(0)
        if self.ticket is not None:
            self.backend.cancel(self)
        note_end(self, self.replica)
        self.context.coalescer.defer(self._settle)
        self._leave()

    def _settle(self) -> None:
        """Account for it: after the answer has left, for no caller waits for that."""
        settle(self)
