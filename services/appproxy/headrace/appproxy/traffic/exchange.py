"""One request from its head to its end: the way in, the queue, and everything given back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from headrace.appproxy.domain.admission import Refusal
from headrace.appproxy.domain.retry import Failure
from headrace.appproxy.traffic import entrance
from headrace.appproxy.traffic.accounts import GRACES
from headrace.appproxy.traffic.answers import as_problem, framing_problem, interruption, problem_answer, refused
from headrace.appproxy.traffic.attempts import Attempts
from headrace.common.contracts.problems import Problem, RequestTimeout, TooManyRequests

if TYPE_CHECKING:
    from headrace.appproxy.domain.rates import Verdict
    from headrace.appproxy.framing.heads import FramingError
    from headrace.appproxy.serving import Serving
    from headrace.common.contracts.messages.routes import RateLimits

_NEVER: Final = float("inf")


class Exchange(Attempts):
    """What it holds (a lease, a place in the queue, a reservation, a connection) is given back in `close`, however it ends.

    Waits in this order: for the head of the body where something in it decides (`peek`), for the caller's limits, in the
    service's queue, for a connection, for the answer.
    """

    early = b""
    """Content that came with the head."""
    peek: Callable[[bytes], None] | None = None
    """Wants to see content before a replica is chosen."""

    # --- in

    def begin(self) -> None:
        """Start. From here on it ends by itself, whatever happens."""
        self.line.deadline = _NEVER
        self.parts.open.add(self)
        try:
            entrance.enter(self)
        except Exception as error:  # noqa: BLE001 - the outermost layer: every error becomes a problem
            self.answer(as_problem(error))

    def safely(self, step: Callable[[], None]) -> None:
        """Take a step; an error becomes the answer."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - the outermost layer: every error becomes a problem
            self.answer(as_problem(error))

    def enter_service(self, serving: Serving, shown: bytes | None) -> None:
        """The service became known after a look into the body."""
        self.safely(lambda: entrance.enter_service(self, serving, shown))

    def reserve(self, limits: RateLimits, tokens: int) -> None:
        """Ask whether the caller's limits allow it, with this many tokens, and go on if they do. Raises Problem."""
        caller = f"{self.serving.key}:{self.caller_key}"
        verdict = self.parts.limits.reserve_now(caller, limits, tokens)
        if verdict is not None:
            self._judged(verdict)
        else:  # not to be cancelled: what it reserved has to be given back
            self.parts.spawn(self._reserve(caller, limits, tokens))

    async def _reserve(self, caller: str, limits: RateLimits, tokens: int) -> None:
        try:
            verdict = await self.parts.limits.reserve(caller, limits, tokens)
        except Exception as error:  # noqa: BLE001 - nobody waits for this task: the caller would get no answer at all
            if not self.closed:
                self.answer(as_problem(error))
            return
        if self.closed:
            self.parts.settle(verdict.reservation, 0)
        else:
            self.safely(lambda: self._judged(verdict))

    def _judged(self, verdict: Verdict) -> None:
        self.reservation = verdict.reservation
        self.extra = verdict.fields
        if not verdict.allowed:
            raise TooManyRequests(verdict.text, retry_after_s=verdict.retry_after_s, reason=verdict.code)
        self.admit()

    def admit(self) -> None:
        """The caller is let in: go to a replica, or wait for one. Raises Problem."""
        chosen = self.serving.first_choice(self)
        if isinstance(chosen, Refusal):
            raise refused(chosen)
        if chosen is not None:
            self.go(chosen)

    @property
    def current(self) -> Any:
        """Who has the request in hand now: this, or the Relay or Tunnel that took its place."""
        return self.line.exchange or self

    def turned_away(self, refusal: Refusal) -> None:
        """The queue gives up on it."""
        self.answer(refused(refusal))

    def body_came(self, content: bytes) -> None:
        """The caller's line has more of the body; its `whole` says whether that was the last."""
        if self not in self.parts.open:  # the first of it comes with the head, before `begin`
            self.early += content
        elif self.body is not None:
            self._take_safely(content)

    def _take_safely(self, content: bytes) -> None:
        self.safely(lambda: self._take(content))

    def _take(self, content: bytes) -> None:
        body, connection = self.body, self.connection
        assert body is not None  # noqa: S101 - asked for by who calls
        body.came(content, forget=connection is not None)
        if connection is not None:
            self.pass_on(content, body, connection)
        elif self.peek is not None:
            self.line.deadline = self.parts.now() + self.parts.bounds.caller_idle_timeout_s
            self.peek(content)
        elif body.full and not self.line.whole:
            self.line.pause_reading("body")

    def bad_body(self, error: FramingError) -> None:
        """The body is not framed as its head says."""
        self.answer(framing_problem(error))

    # --- out

    def caller_full(self, *, full: bool) -> None:
        """Nothing is being written to the caller yet."""

    def caller_left(self) -> None:
        """The caller's connection is gone: the replica is told at once."""
        self.left = True
        if self.connection is not None:
            self.connection.drop()
        self.close()

    def expired(self) -> None:
        """The line's deadline is over."""
        if not self.line.whole:
            seconds = self.parts.bounds.caller_idle_timeout_s
            self.answer(RequestTimeout(f"no byte of the request body came for {seconds:g} s", reason="caller-idle"))
        elif self.connection is not None:
            self.connection.drop()
            text = f"no answer from replica {self.replica_key} within {self.serving.first_byte_timeout_s:g} s"
            self._failed(Failure("first-byte-timeout", text))

    def cut(self, why: str) -> None:
        """End it now, and say why; what may still go to another replica does."""
        if why == "replica-stopped" and self.move():
            return
        self.was_cut = why in GRACES
        self.answer(interruption(why))

    def answer(self, problem: Problem) -> None:
        """Answer it ourselves."""
        if self.closed:
            return
        if self.connection is not None:
            self.connection.drop()
            self.connection = None
        self.refused(problem)
        self.own(
            problem_answer(
                problem, request_id=self.request_id, closes=self.closes, extra=self.extra + self.cors, fleet=self.fleet,
                to_head=self.head.method == b"HEAD",
            )
        )  # fmt: skip

    @property
    def closes(self) -> bool:
        """Whether the caller's connection ends with an answer of our own."""
        return not self.head.keep_alive or not self.line.whole or self.parts.stopping or self.line.door.refusing

    def own(self, answer: bytes) -> None:
        """Write a whole answer of our own, and end."""
        closes = self.closes
        self.line.write(answer)
        self.close()
        self.line.finished(closes=closes, now_s=self.ended_s)

    def close(self) -> None:
        """Give everything back and account for it. Safe to repeat."""
        if self.closed:
            return
        self.closed = True
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
        self.parts.open.discard(self)
        if self.held_bytes:
            self.hold(0)
        if self.ticket is not None:
            self.serving.forget(self)
        self.account_for(self.replica)
        self._leave()
