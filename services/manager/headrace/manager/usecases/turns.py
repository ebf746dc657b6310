"""Turns of projects: how much of the work that takes long may be done for one project at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from headrace.common.contracts.ids import ProjectId
from headrace.common.contracts.problems import Unavailable
from headrace.common.contracts.reasons.api import ApiReason

AT_ONCE = 2
"""Of the threads for files; others are left for the other projects."""
MOST_WAITING = 16
_TIMEOUT_S = 60.0


class Turns:
    """Lets `at_once` requests of each project in; the next ones wait, up to a bound. `work`, `reason`: said to those refused."""

    def __init__(
        self,
        *,
        at_once: int = AT_ONCE,
        most_waiting: int = MOST_WAITING,
        work: str = "list or move files",
        reason: ApiReason = ApiReason.FOLDERS_BUSY,
    ) -> None:
        self._at_once = at_once
        self._most_waiting = most_waiting
        self._work = work
        self._reason = reason
        self._lines: dict[ProjectId, _Line] = {}

    async def take(self, project: ProjectId) -> Callable[[], None]:
        """Wait for a turn of the project and return what ends it (once: further calls do nothing).

        Raises Unavailable when too many wait already, or when the turn does not come in time.
        """
        line = self._lines.setdefault(project, _Line(self._at_once))
        if line.there >= (most := self._at_once + self._most_waiting):
            raise self._busy(f"found {line.there} requests of the project that {self._work}; allowed: {most}")
        line.there += 1
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                await line.turn.acquire()
        except BaseException as error:
            self._leave(project, line)
            if isinstance(error, TimeoutError):
                raise self._busy(f"the project's turn did not come within {_TIMEOUT_S:g} s") from None
            raise
        ended = False

        def end() -> None:
            nonlocal ended
            if not ended:
                ended = True
                line.turn.release()
                self._leave(project, line)

        return end

    @asynccontextmanager
    async def of(self, project: ProjectId) -> AsyncIterator[None]:
        """A turn of the project, while inside. Raises Unavailable."""
        end = await self.take(project)
        try:
            yield
        finally:
            end()

    def _leave(self, project: ProjectId, line: _Line) -> None:
        line.there -= 1
        if not line.there:
            self._lines.pop(project, None)

    def _busy(self, why: str) -> Unavailable:
        problem = Unavailable(f"{why}; try again", reason=self._reason)
        problem.headers = {"Retry-After": "1"}
        return problem


class _Line:
    """The requests of one project."""

    def __init__(self, at_once: int) -> None:
        self.there = 0
        self.turn = asyncio.Semaphore(at_once)
