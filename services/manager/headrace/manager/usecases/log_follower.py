"""Log follower of one replica: from before placement until it ends.

After an interruption it resumes at the last line.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from headrace.common.contracts.ids import KernelId, ServiceId
from headrace.common.contracts.problems import NotFound, Problem
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import Clock
from headrace.common.text.logposition import LogPosition
from headrace.manager.domain.records.replicas import Replica
from headrace.manager.store import services

LOOK_AGAIN_S: Final = 1.0
MAX_WAIT_S: Final = 10.0
"""Longest delay between two attempts to read a log."""


@dataclass(frozen=True)
class LogRange:
    """Range of a log: last lines, start time."""

    tail: int | None
    since: str | None


class ReadLines(Protocol):
    """Reader of a kernel's log; an empty line is a sign of life."""

    def __call__(self, agent_id: str, kernel_id: KernelId, part: LogRange, *, follow: bool) -> AsyncIterator[str]:
        """Yield lines. Raises Problem."""


@asynccontextmanager
async def closing(lines: AsyncIterator[str]) -> AsyncIterator[None]:
    """Close the reader on leaving, so that its agent stops sending."""
    try:
        yield
    finally:
        if isinstance(lines, AsyncGenerator):
            await lines.aclose()


def utc(at: datetime) -> str:
    """Format a time as log lines have it."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def note(now: datetime, text: str) -> str:
    """Return a log line of the manager's own."""
    return f"{now.isoformat(timespec='milliseconds').replace('+00:00', 'Z')} headrace: {text}"


class LogFollower:
    """Follower of one log.

    When the log cannot be read, that is written once, and reading is retried from the last line.
    """

    def __init__(self, pool: Pool, lines: ReadLines, write: Callable[[str], Awaitable[None]], clock: Clock) -> None:
        self._pool = pool
        self._lines = lines
        self._write = write
        self._clock = clock
        self._position = LogPosition()
        self._problem: Problem | None = None
        """Why it cannot be read now."""
        self._told = False
        """Whether that was written to the reader."""

    async def run(self, replica: Replica, service_id: ServiceId | None, part: LogRange) -> None:
        """Write lines until the log ends, or its replica is gone."""
        wait_s = LOOK_AGAIN_S
        current: Replica | None = replica
        while current is not None:
            if current.agent_id is not None and current.kernel_id is not None:
                problem = await self._read(current.agent_id, current.kernel_id, part)
                if problem is None:
                    return
                wait_s = min(MAX_WAIT_S, wait_s * 2) if self._problem is not None else LOOK_AGAIN_S
                await self._failed(current, problem)
                if (since := self._position.since()) is not None:
                    part = LogRange(None, since)
            if current.status in {"stopping", "ended"}:
                break
            await asyncio.sleep(LOOK_AGAIN_S / 4 if current.status in {"pending", "placed"} else wait_s)
            async with self._pool.acquire() as con:
                current = await services.replica(con, replica.id, service_id)
        if self._told:
            why = "it is gone" if current is None else current.reason_text
            await self._write(note(self._clock(), f"log is not read on: {why}"))

    async def _read(self, agent_id: str, kernel_id: KernelId, part: LogRange) -> Problem | None:
        """Write the log to its end; return the problem that interrupted it, if any."""
        lines = self._lines(agent_id, kernel_id, part, follow=True)
        try:
            async with closing(lines):
                async for line in lines:
                    if self._problem is not None:
                        await self._again()
                    if line and self._position.takes(line):
                        await self._write(line)
        except Problem as problem:
            return problem
        return None

    async def _failed(self, current: Replica, problem: Problem) -> None:
        """Write why the log cannot be read; that its agent does not know the kernel is written only if it lasts."""
        unknown = isinstance(problem, NotFound)
        brief = unknown and (self._problem is None or current.status in {"pending", "placed"})
        self._problem = problem
        if not (self._told or brief or (unknown and current.status in {"stopping", "ended"})):
            self._told = True
            await self._write(
                note(self._clock(), f"log cannot be read: {problem.detail}; it is read on when it can be")
            )

    async def _again(self) -> None:
        if self._told:
            await self._write(note(self._clock(), "log is read on"))
        self._problem, self._told = None, False
