"""Thread pool for parsing definition files, one parse per project at a time.

Parse time depends on the file's author: it must not take threads from other projects or from folder storage.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from headrace.common.contracts.ids import ProjectId
from headrace.common.contracts.problems import Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.manager.threads import in_thread
from headrace.manager.usecases.project_limiter import MAX_WAITING_CALLS, ProjectLimiter

T = TypeVar("T")
_THREADS = 2
_TIMEOUT_S = 60.0
_BUSY = ApiReason.DEFINITIONS_BUSY


class ParserPool:
    """Runs slow pure functions, in threads apart from those of folder storage."""

    def __init__(self, *, most_waiting: int = MAX_WAITING_CALLS) -> None:
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="parsing")
        self._turns = ProjectLimiter(at_once=1, most_waiting=most_waiting, work="read definition files", reason=_BUSY)

    async def run(self, project: ProjectId, function: Callable[[], T]) -> T:
        """Run the function. Raises what it raises; Unavailable when too many calls of the project are queued."""
        end = await self._turns.take(project)
        try:
            return await in_thread(self._threads, function, timeout_s=_TIMEOUT_S, ended=end)
        except TimeoutError:
            raise Unavailable(f"definition files were not read within {_TIMEOUT_S:g} s", reason=_BUSY) from None
