"""Group commit of fsync calls.

A file system's journal takes what several threads wait for in one write, so many at once cost little more than one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Final

AT_ONCE: Final = 16
"""Threads, of all archives together, that wait for the disk."""


class Flushing:
    """Runner of calls that wait for the disk. Used by threads, never by the event loop."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads

    def all(self, calls: Sequence[Callable[[], None]]) -> None:
        """Return when every call has ended. Raises what the first one raised that did."""
        work = [self._threads.submit(call) for call in calls]
        wait(work)
        for one in work:
            one.result()
