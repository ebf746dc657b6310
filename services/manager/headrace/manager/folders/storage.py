"""The folders as the event loop uses them: blocking work in threads of its own, each call with a bound on its time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from headrace.common.contracts.problems import Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.manager.folders.errors import RESERVE_BYTES, DiskReserve
from headrace.manager.folders.flushing import AT_ONCE, Flushing
from headrace.manager.folders.partials import Partials
from headrace.manager.folders.tree import Tree
from headrace.manager.threads import in_thread

T = TypeVar("T")


class FolderStorage:
    """Trees and partial uploads below one root. A storage that hangs costs its callers `timeout_s`, and nobody else."""

    def __init__(
        self, room: DiskReserve, threads: ThreadPoolExecutor, flushers: ThreadPoolExecutor, *, timeout_s: float
    ) -> None:
        self.root = room.root
        self.room = room
        self.partials = Partials(room)
        self.flushing = Flushing(flushers)
        self._threads = threads
        self._timeout_s = timeout_s

    def tree(self, folder_id: object) -> Tree:
        """Return the files of a folder."""
        return Tree(self.root, folder_id)

    async def call(
        self, function: Callable[[], T], *, timeout_s: float | None = None, ended: Callable[[], None] | None = None
    ) -> T:
        """Run a blocking function in a thread. Raises what it raises, Unavailable when it takes too long.

        `ended` is called when the thread has done with it, which may be after the caller went away.
        """
        limit = timeout_s or self._timeout_s
        try:
            return await in_thread(self._threads, function, timeout_s=limit, ended=ended)
        except TimeoutError:
            raise Unavailable(f"the storage did not answer within {limit:g} s", reason=ApiReason.STORAGE_SLOW) from None


@contextmanager
def open_storage(
    root: Path, *, threads: int = 8, timeout_s: float = 60.0, reserve_bytes: int = RESERVE_BYTES
) -> Iterator[FolderStorage]:
    """A storage below `root`, which is made if it is missing, and of which uploads leave `reserve_bytes` free."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    executor = ThreadPoolExecutor(threads, thread_name_prefix="folders")
    flushers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="flushers")
    try:
        yield FolderStorage(DiskReserve(root, reserve_bytes), executor, flushers, timeout_s=timeout_s)
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        flushers.shutdown(wait=False, cancel_futures=True)
