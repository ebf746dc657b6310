"""Concurrency limiter per project, for long operations.

Threads are few: a project that lists large folders must leave some for the others.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from headrace.common.contracts.ids import ProjectId
from headrace.common.contracts.problems import Unavailable
from headrace.common.contracts.reasons.api import ApiReason

AT_ONCE = 2
"""Threads for files that one project may use."""
MAX_WAITING_CALLS = 16
_TIMEOUT_S = 60.0


class ProjectLimiter:
    """Admits `at_once` requests of each project; further ones queue, up to a bound.

    `work`, `reason`: text and code of the refusal.
    """

    def __init__(
        self,
        *,
        at_once: int = AT_ONCE,
        most_waiting: int = MAX_WAITING_CALLS,
        work: str = "list or move files",
        reason: ApiReason = ApiReason.FOLDERS_BUSY,
    ) -> None:
        self._at_once = at_once
        self._most_waiting = most_waiting
        self._work = work
        self._reason = reason
        self._queues: dict[ProjectId, _Queue] = {}

    async def take(self, project: ProjectId) -> Callable[[], None]:
        """Wait for a slot of the project and return the function that releases it (idempotent).

        Raises Unavailable when the queue is full, or on timeout.
        """
        queue = self._queues.setdefault(project, _Queue(self._at_once))
        if queue.there >= (most := self._at_once + self._most_waiting):
            raise self._busy(f"found {queue.there} requests of the project that {self._work}; allowed: {most}")
        queue.there += 1
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await queue.turn.acquire()
        except BaseException as error:
            self._leave(project, queue)
            if isinstance(error, TimeoutError):
                raise self._busy(f"the project's turn did not come within {_TIMEOUT_S:g} s") from None
            raise
        ended = False

        def end() -> None:
            nonlocal ended
            if not ended:
                ended = True
                queue.turn.release()
                self._leave(project, queue)

        return end

    @asynccontextmanager
    async def of(self, project: ProjectId) -> AsyncIterator[None]:
        """Hold a slot of the project while inside. Raises Unavailable."""
        end = await self.take(project)
        try:
            yield
        finally:
            end()

    def _leave(self, project: ProjectId, queue: _Queue) -> None:
        queue.there -= 1
        if not queue.there:
            self._queues.pop(project, None)

    def _busy(self, why: str) -> Unavailable:
        problem = Unavailable(f"{why}; try again", reason=self._reason)
        problem.headers = {"Retry-After": "1"}
        return problem


class _Queue:
    """Slots and queue length of one project."""

    def __init__(self, at_once: int) -> None:
        self.there = 0
        self.turn = asyncio.Semaphore(at_once)
