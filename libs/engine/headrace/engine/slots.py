"""Admission: a bounded number of slots with a first-come-first-served queue."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from headrace.engine.problems import QueueFull


class Slots:
    """Slots for running requests. Both counts are the sizes of collections, so they cannot drift.

    `limits` returns (slots, longest queue) and is called each time, because the settings change at run time.
    """

    def __init__(self, limits: Callable[[], tuple[int, int]]) -> None:
        self._limits = limits
        self._held: set[object] = set()
        self._queue: deque[asyncio.Future[object]] = deque()

    @property
    def running(self) -> int:
        """Number of slots in use."""
        return len(self._held)

    @property
    def waiting(self) -> int:
        """Number of queued requests."""
        return len(self._queue)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a slot, after queueing for one. Cancellation leaves the queue or frees the slot at once.

        Raises QueueFull if the queue is full.
        """
        ticket = await self._take()
        try:
            yield
        finally:
            self._give(ticket)

    def wake(self) -> None:
        """Assign free slots to queued requests; call it after the limits changed."""
        slots, _ = self._limits()
        while self._queue and len(self._held) < slots:
            waiter = self._queue.popleft()
            if not waiter.done():
                ticket = object()
                self._held.add(ticket)
                waiter.set_result(ticket)

    async def _take(self) -> object:
        slots, longest = self._limits()
        if len(self._held) < slots and not self._queue:
            ticket = object()
            self._held.add(ticket)
            return ticket
        if len(self._queue) >= longest:
            raise QueueFull(f"{len(self._held)} requests run and {len(self._queue)} wait; try again later")
        waiter: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._queue.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                self._give(waiter.result())  # the slot came in the same moment as the cancellation
            elif waiter in self._queue:  # wake() may have dropped it already
                self._queue.remove(waiter)
            raise

    def _give(self, ticket: object) -> None:
        self._held.discard(ticket)
        self.wake()
