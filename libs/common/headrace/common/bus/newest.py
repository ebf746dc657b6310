"""Conflating subscription to whole states: only the newest message of each sender is handled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Generic, TypeVar

import structlog
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import read
from headrace.common.contracts.messages.envelope import Message
from headrace.common.obs.metrics import BUS_REFUSED
from headrace.common.runtime.cancelling import cancel

log = structlog.get_logger()
M = TypeVar("M", bound=Message)
MAX_PER_BATCH = 100
MAX_BATCH_BYTES = 4 * 1024 * 1024
MAX_WAITING_BYTES = 64 * 1024 * 1024


class ConflatingQueue(Generic[M]):
    """Newest message of each subject until it is taken, in the order in which the subjects were first queued.

    A message that would exceed `MAX_WAITING_BYTES` is dropped and counted.
    """

    def __init__(self, kind: type[M]) -> None:
        self._kind = kind
        self._messages: dict[str, bytes] = {}
        self._bytes = 0
        self.arrived = asyncio.Event()

    def put(self, subject: str, data: bytes) -> None:
        """Queue a message, in place of an older one of this subject."""
        before = self._messages.get(subject)
        held = self._bytes + len(data) - (len(before) if before is not None else 0)
        if held > MAX_WAITING_BYTES:
            BUS_REFUSED.labels(self._kind.__name__, "too-many-waiting").inc()
            return
        self._bytes = held
        self._messages[subject] = data
        self.arrived.set()

    def take(self) -> list[M]:
        """Return the next messages, first come, first served: at most `MAX_PER_BATCH` of `MAX_BATCH_BYTES`, at least
        one.
        """
        taken: list[M] = []
        seen = size = 0
        while self._messages and seen < MAX_PER_BATCH:
            subject = next(iter(self._messages))
            if seen and size + len(self._messages[subject]) > MAX_BATCH_BYTES:
                break
            data = self._messages.pop(subject)
            self._bytes -= len(data)
            size += len(data)
            seen += 1
            value = read(self._kind, subject, data)
            if value is not None:
                taken.append(value)
        if not self._messages:
            self.arrived.clear()
        return taken


@asynccontextmanager
async def newest(
    bus: Bus, kind: type[M], handle: Callable[[Sequence[M]], Awaitable[None]], *, queue: str = "", pause_s: float = 0.05
) -> AsyncIterator[None]:
    """Call `handle` with the newest message of each subject, in batches, inside the context.

    There is a pause between two calls, in which messages accumulate. With `queue`, one member of the queue group gets
    each message. A call that raises is logged, and its batch is lost.
    """
    waiting = ConflatingQueue(kind)

    async def on_message(message: Msg) -> None:
        waiting.put(message.subject, message.data)

    async def work() -> None:
        while True:
            await waiting.arrived.wait()
            some = waiting.take()
            if some:
                try:
                    await handle(some)
                except Exception:  # senders repeat their whole state
                    log.exception("messages_not_handled", message=kind.__name__, messages=len(some))
            await asyncio.sleep(pause_s)

    subscription = await bus.client.subscribe(kind.wildcard(), queue=queue, cb=on_message)
    worker = asyncio.create_task(work(), name=f"newest {kind.__name__}")
    try:
        with suppress(NatsError, OSError, TimeoutError):  # else the server knows of it from the reconnect on
            await bus.flush()
        yield
    finally:
        await cancel(worker)
        with suppress(NatsError, OSError):
            await subscription.unsubscribe()
