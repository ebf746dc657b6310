"""Subscriptions: plain messages, requests, and last values that survive lost messages and reconnects."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Generic, TypeVar

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from headrace.common.bus.connect import Bus
from headrace.common.bus.stored import StoredValue, stored_value, stored_values
from headrace.common.bus.subjects import stream_of
from headrace.common.contracts.messages.envelope import Message
from headrace.common.contracts.problems import BusUnavailable, Problem
from headrace.common.obs.metrics import BUS_MESSAGES, BUS_REFUSED

log = structlog.get_logger()
M = TypeVar("M", bound=Message)
_PENDING_BYTES = 64 * 1024 * 1024


def read(kind: type[M], subject: str, data: bytes) -> M | None:
    """Decode a message, or count and drop a malformed one, so that it does not stop the subscription."""
    try:
        value = kind.decode(data)
    except (Problem, RecursionError) as problem:
        BUS_REFUSED.labels(kind.__name__, "malformed").inc()
        log.warning("bus_message_refused", subject=subject, why=str(problem))
        return None
    if value.address() != subject and not kind.subject.startswith("_"):
        BUS_REFUSED.labels(kind.__name__, "foreign").inc()
        log.warning("bus_message_refused", subject=subject, why="it speaks for another subject")
        return None
    BUS_MESSAGES.labels(kind.__name__, "in").inc()
    return value


async def respond(message: Msg, data: bytes) -> None:
    """Reply to a request, but only to an inbox: a requester could name a subject that only this process may publish to.

    `_R_` are the inboxes that the server gives to requesters of another account.
    """
    if not message.reply.startswith(("_INBOX.", "_INBOX_", "_R_.")):
        BUS_REFUSED.labels("answer", "foreign").inc()
        log.warning("bus_reply_refused", subject=message.subject, reply=message.reply[:100])
        return
    await message.respond(data)


@asynccontextmanager
async def subscribed(
    bus: Bus, kind: type[M], handle: Callable[[M], Awaitable[None]], *, subject: str | None = None, queue: str = ""
) -> AsyncIterator[None]:
    """Call `handle` for each message of `kind`, one at a time, inside the context. With `queue`, one member of the
    queue group gets each.
    """

    async def on_message(message: Msg) -> None:
        value = read(kind, message.subject, message.data)
        if value is not None:
            await handle(value)

    subscription = await bus.client.subscribe(
        subject or kind.wildcard(), queue=queue, cb=on_message, pending_bytes_limit=_PENDING_BYTES
    )
    try:
        with suppress(NatsError, OSError, TimeoutError):  # the server knows of it; else from the reconnect on
            await bus.flush()
        yield
    finally:
        with suppress(NatsError, OSError):
            await subscription.unsubscribe()


@asynccontextmanager
async def answering(
    bus: Bus, kind: type[M], answer: Callable[[M], Awaitable[Message]], *, subject: str | None = None, queue: str = ""
) -> AsyncIterator[None]:
    """Answer each request of `kind` inside the context.

    A malformed request or a failing handler gets no reply: the requester times out.
    """

    async def on_message(message: Msg) -> None:
        question = read(kind, message.subject, message.data)
        if question is None:
            return
        try:
            reply = await answer(question)
            await respond(message, reply.encode())
        except (Problem, NatsError, OSError, TimeoutError) as error:
            log.warning("bus_request_failed", subject=message.subject, error=str(error))

    subscription = await bus.client.subscribe(subject or kind.wildcard(), queue=queue, cb=on_message)
    try:
        with suppress(NatsError, OSError, TimeoutError):  # the server knows of it; else from the reconnect on
            await bus.flush()
        yield
    finally:
        with suppress(NatsError, OSError):
            await subscription.unsubscribe()


class LastValues(Generic[M]):
    """Subscription that delivers the last value of each matching subject; `deliver` must fence by generation.

    Live messages come by a core subscription (a JetStream publish is a core message too). The stored values are read at
    the start, after each reconnect and every `resync`: so a lost message costs at most that long. An empty or lost
    stream delivers nothing, and so changes nothing. Run `run()` as a task; `synced` is set after the first full read.

    `forget` is called for each delivered subject that two full reads in a row did not find: so a removal that was
    published while this reader was disconnected takes effect later. Without it values are kept until their removal is
    delivered.
    """

    name = "last-values"

    def __init__(
        self,
        bus: Bus,
        kind: type[M],
        deliver: Callable[[M], Awaitable[None]],
        *,
        subject: str | None = None,
        resync: timedelta = timedelta(seconds=20),
        forget: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._bus = bus
        self._kind = kind
        self._forget = forget
        self._there: set[str] = set()
        """Subjects that were delivered, if `forget` is set."""
        self._missed: set[str] = set()
        """Those that the previous full read did not find."""
        self._deliver = deliver
        self._subject = subject or kind.wildcard()
        self._stream = stream_of(kind)
        self._resync = resync
        self._wake = asyncio.Event()
        self._stopping = False
        self.synced = asyncio.Event()

    def stop(self) -> None:
        """End run()."""
        self._stopping = True
        self._wake.set()

    async def run(self) -> None:
        """Deliver values until stop()."""
        self._bus.on_reconnect(self._wake.set)
        async with subscribed(self._bus, self._kind, self._take, subject=self._subject):
            while not self._stopping:
                self._wake.clear()
                every = self._resync.total_seconds()
                try:
                    await self.read_stored()
                    self.synced.set()
                except BusUnavailable as problem:
                    log.warning("last_values_not_read", stream=self._stream, why=problem.detail)
                    every = min(every, 1.0)
                with suppress(TimeoutError):
                    async with asyncio.timeout(every):
                        await self._wake.wait()

    async def read_stored(self) -> None:
        """Read and deliver all stored values of the stream."""
        if "*" in self._subject or ">" in self._subject:
            before, found = set(self._there), set[str]()
            async for page in stored_values(self._bus, self._stream, self._subject):
                for one in page:
                    found.add(one.subject)
                    await self._offer(one)
            await self._compare(before - found)
        elif (only := await stored_value(self._bus, self._stream, self._subject)) is not None:
            await self._offer(only)

    async def _compare(self, missing: set[str]) -> None:
        """Forget the subjects that neither this full read nor the one before it found."""
        if self._forget is None:
            return
        for subject in missing & self._missed:
            self._there.discard(subject)
            await self._forget(subject)
        self._missed = missing & self._there

    async def _offer(self, stored: StoredValue) -> None:
        value = read(self._kind, stored.subject, stored.data)
        if value is not None:
            await self._take(value)

    async def _take(self, value: M) -> None:
        """Deliver one value; if `deliver` raises, the error is logged and the next value follows."""
        if self._forget is not None:
            self._there.add(value.address())
        try:
            await self._deliver(value)
        except Exception:  # one table costs itself
            log.exception("last_value_not_handled", subject=value.address())
