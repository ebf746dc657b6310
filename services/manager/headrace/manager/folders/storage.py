"""The folders as the event loop uses them: blocking work in threads of its own, each call with a bound on its time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Protocol, TypeVar

from headrace.common.contracts.problems import Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.manager.folders.errors import RESERVE_BYTES, DiskReserve
from headrace.manager.folders.flushing import AT_ONCE, Flushing
from headrace.manager.folders.partials import Partials
from headrace.manager.folders.tree import Tree
from headrace.manager.threads import in_thread

T = TypeVar("T")


class Closeable(Protocol):
    """What holds descriptors. close() blocks, and may come while another call of it still runs in a thread."""

    def close(self) -> None:
        """Let go of them."""


C = TypeVar("C", bound=Closeable)


class FolderStorage:
    """Trees and partial uploads below one root. A storage that hangs costs its callers `timeout_s`, and nobody else."""

    def __init__(
        self,
        room: DiskReserve,
        threads: ThreadPoolExecutor,
        flushers: ThreadPoolExecutor,
        closers: ThreadPoolExecutor,
        *,
        timeout_s: float,
    ) -> None:
        self.root = room.root
        self.room = room
        self.partials = Partials(room)
        self.flushing = Flushing(flushers)
        self._threads = threads
        self._closers = closers
        self._timeout_s = timeout_s

    def tree(self, folder_id: object) -> Tree:
        """Return the files of a folder."""
        return Tree(self.root, folder_id)

    async def call(
        self,
        function: Callable[[], T],
        *,
        timeout_s: float | None = None,
        ended: Callable[[], None] | None = None,
        unclaimed: Callable[[T], object] | None = None,
    ) -> T:
        """Run a blocking function in a thread. Raises what it raises, Unavailable when it takes too long.

        `ended` is called when the thread has done with it, which may be after the caller went away. `unclaimed` is given what
        it returned for a caller that went away before.
        """
        limit = timeout_s or self._timeout_s
        try:
            return await in_thread(self._threads, function, timeout_s=limit, ended=ended, unclaimed=unclaimed)
        except TimeoutError:
            raise _slow(limit) from None

    @asynccontextmanager
    async def opened(self, function: Callable[[], C]) -> AsyncIterator[C]:
        """What a blocking function opens; closed on leaving, and also where its caller goes away before it is open."""
        one = await self.call(function, unclaimed=self.let_go)
        try:
            yield one
        finally:
            await self.close(one)

    async def close(self, one: Closeable) -> None:
        """Close it in a thread; so it is also where the caller does not wait. Raises Unavailable when it takes too long."""
        work = asyncio.shield(asyncio.wrap_future(self.let_go(one)))
        try:
            async with asyncio.timeout(self._timeout_s):
                await work
        except TimeoutError:
            raise _slow(self._timeout_s) from None

    def let_go(self, one: Closeable) -> Future[None]:
        """Have it closed in a thread soon, and return at once. No end of the storage drops that."""
        try:
            return self._closers.submit(one.close)
        except RuntimeError:  # the storage has ended
            threading.Thread(target=one.close, daemon=True).start()
        done: Future[None] = Future()
        done.set_result(None)
        return done


def _slow(limit_s: float) -> Unavailable:
    return Unavailable(f"the storage did not answer within {limit_s:g} s", reason=ApiReason.STORAGE_SLOW)


@contextmanager
def open_storage(
    root: Path, *, threads: int = 8, timeout_s: float = 60.0, reserve_bytes: int = RESERVE_BYTES
) -> Iterator[FolderStorage]:
    """A storage below `root`, which is made if it is missing, and of which uploads leave `reserve_bytes` free."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    executor = ThreadPoolExecutor(threads, thread_name_prefix="folders")
    flushers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="flushers")
    closers = ThreadPoolExecutor(threads, thread_name_prefix="closers")
    try:
        yield FolderStorage(DiskReserve(root, reserve_bytes), executor, flushers, closers, timeout_s=timeout_s)
    finally:
        executor.shutdown(wait=False, cancel_futures=True)
        flushers.shutdown(wait=False)  # a thread waits for them: it would do so for ever for one that is dropped
        closers.shutdown(wait=False)
