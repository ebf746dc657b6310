"""Log reader: kernels' logs from their agents over the bus, chunk by chunk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from uuid import uuid4

from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import respond
from headrace.common.bus.publish import ask
from headrace.common.contracts.ids import AgentId, KernelId
from headrace.common.contracts.messages.logs import LogChunk, LogsAccepted, LogsRequest
from headrace.common.contracts.problems import BusUnavailable, NotFound, TooManyRequests

SILENCE_S = 30.0
"""Timeout of an agent's stream: it sends at least every 10 s, and three misses end it."""
ANSWER_S = 5.0
RETRY_AFTER_S = 10
"""Retry-After at the limit of log streams: the time an agent takes to notice that a reader has left."""


class BusLogReader:
    """Reads logs over the bus. Each chunk is acknowledged once consumed: a slow reader slows its agent only."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def check(self) -> None:
        """Raise BusUnavailable while this manager has no bus connection, as just after its start."""
        if not self._bus.connected:
            raise BusUnavailable("not connected to NATS")

    async def lines(
        self, agent_id: AgentId, kernel_id: KernelId, *, tail: int | None, follow: bool, since: str | None = None
    ) -> AsyncIterator[str]:
        """Yield lines `<RFC 3339 UTC timestamp> <text>`: the last `tail` (None: all kept), then with `follow` new ones.

        `since`: only lines from then on. An empty string is a sign of life while nothing is logged. Raises NotFound
        when the agent has no such kernel, TooManyRequests at the limit of log streams there, BusUnavailable when the
        agent does not answer or falls silent.
        """
        subject = LogChunk.subject_for(agent_id=agent_id, reader=uuid4().hex)
        chunks: asyncio.Queue[Msg] = asyncio.Queue(maxsize=4)
        subscription = await self._bus.client.subscribe(subject, cb=chunks.put)
        try:
            question = LogsRequest(
                agent_id=agent_id, kernel_id=kernel_id, tail=tail, since=since, follow=follow, reply_to=subject
            )
            answer = await ask(self._bus, question, LogsAccepted, timeout_s=ANSWER_S)
            if answer.allowed is not None and not answer.accepted:
                raise TooManyRequests(
                    answer.detail, retry_after_s=RETRY_AFTER_S, found=answer.found, allowed=answer.allowed
                )
            if not answer.accepted:
                raise NotFound(answer.detail or f"{agent_id} has no log of {kernel_id}")
            expected = 0
            while True:
                chunk = await self._next(chunks, agent_id)
                if chunk.sequence != expected:
                    raise BusUnavailable(f"a part of the log was lost on the way from {agent_id}")
                expected += 1
                for line in chunk.lines or ("",):
                    yield line
                if chunk.error:
                    raise BusUnavailable(f"{agent_id}: {chunk.error}")
                if chunk.eof:
                    return
        finally:
            with suppress(NatsError, OSError):  # the connection may be gone, and the subscription with it
                await subscription.unsubscribe()

    async def _next(self, chunks: asyncio.Queue[Msg], agent_id: AgentId) -> LogChunk:
        try:
            async with asyncio.timeout(SILENCE_S):
                message = await chunks.get()
                chunk = LogChunk.decode(message.data)
                await respond(message, b"")
        except (TimeoutError, NatsError, OSError) as error:
            raise BusUnavailable(f"{agent_id} fell silent for {SILENCE_S:.0f} s") from error
        return chunk
