"""Parsing of what callers wrote: in threads of its own, one parse of a project at a time, so that nobody takes them from others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from headrace.common.contracts.ids import ProjectId
from headrace.common.contracts.problems import Unavailable

T = TypeVar("T")
_THREADS = 2
_MOST_WAITING = 16
_TIMEOUT_S = 60.0


class Parsing:
    """Runs pure functions that take a while. The threads that read and write folders do other things."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="parsing")
        self._lines: dict[ProjectId, _Line] = {}

    async def run(self, project: ProjectId, function: Callable[[], T]) -> T:
        """Return what the function does. Raises what it raises, Unavailable when too many of the project wait already."""
        line = self._lines.setdefault(project, _Line())
        if line.waiting >= _MOST_WAITING:
            raise Unavailable(
                f"{line.waiting} definition files of the project are being read; try again", reason="definitions-busy"
            )
        line.waiting += 1
        try:
            async with asyncio.timeout(_TIMEOUT_S), line.turn:
                return await asyncio.get_running_loop().run_in_executor(self._threads, function)
        except TimeoutError:
            raise Unavailable("definition files were not read in time; try again", reason="definitions-busy") from None
        finally:
            line.waiting -= 1
            if not line.waiting:
                self._lines.pop(project, None)


class _Line:
    """The parses of one project."""

    def __init__(self) -> None:
        self.waiting = 0
        self.turn = asyncio.Lock()
