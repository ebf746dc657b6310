"""Group commit of fsync calls.

A file system's journal commits what several threads wait for in one write, so many fsyncs at once cost little more than
one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Final

AT_ONCE: Final = 16
"""Threads that wait for the disk, over all archives."""


class GroupCommit:
    """Runs calls that wait for the disk in parallel. Used by threads, never by the event loop."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads

    def all(self, calls: Sequence[Callable[[], None]]) -> None:
        """Run all calls, and return when every one has ended. Raises the error of the first that failed."""
        work = [self._threads.submit(call) for call in calls]
        wait(work)
        for one in work:
            one.result()
