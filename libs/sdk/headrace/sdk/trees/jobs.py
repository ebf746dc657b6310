"""Concurrent requests of one transfer.

When one fails, or the user interrupts it, the others stop as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Event
from typing import Final

from headrace.sdk.trees.results import TreeFile, TreeProgress

PARALLEL: Final = 4
Progress = Callable[[int, int], None]
Job = Callable[["TransferState"], None]


class _StoppedError(Exception):
    """Another job failed, or the user stopped the transfer."""


class TransferState:
    """State shared by the jobs of one transfer: the stop flag and the progress callback."""

    def __init__(self, progress: TreeProgress | None) -> None:
        self._progress = progress
        self.stop = Event()

    def job(self, job: Job) -> None:
        """Run a job; if it fails, the others stop before their next request."""
        try:
            job(self)
        except BaseException:
            self.stop.set()
            raise

    def check(self) -> None:
        """Raise if the transfer is stopped; every job calls it before its request."""
        if self.stop.is_set():
            raise _StoppedError

    def tell(self, path: str, done: int, total: int) -> None:
        """Report the bytes transferred so far of a file."""
        if self._progress is not None:
            self._progress.moved(path, done, total)

    def one(self, file: TreeFile, work: Callable[[TreeFile, Progress], None]) -> None:
        """Transfer one file. `work` gets the file and a progress function that raises once the transfer is stopped."""

        def progress(done: int, total: int) -> None:
            self.check()
            self.tell(file.path, done, total)

        progress(0, file.size_bytes)
        work(file, progress)
        self.tell(file.path, file.size_bytes, file.size_bytes)


def run(jobs: Sequence[Job], progress: TreeProgress | None, *, parallel: int, close: Callable[[], None]) -> None:
    """Run the jobs concurrently; after the running ones have ended, raise the first error.

    `close` aborts running requests; it is called if this thread is interrupted.
    """
    running = TransferState(progress)
    with ThreadPoolExecutor(parallel, thread_name_prefix="transfer") as pool:
        futures = [pool.submit(running.job, job) for job in jobs]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException:
            close()  # so that none keeps waiting for an unreachable server
            raise
        finally:
            running.stop.set()
            for future in futures:
                future.cancel()
    for future in futures:
        error = None if future.cancelled() else future.exception()
        if error is not None and not isinstance(error, _StoppedError):
            raise error
