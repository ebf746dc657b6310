"""Folder storage for the event loop: blocking calls in thread pools of its own, each with a timeout."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from headrace.common.contracts.ids import FolderId, ImportId
from headrace.common.contracts.problems import Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.manager.folders.errors import RESERVE_BYTES, DiskReserve
from headrace.manager.folders.group_commit import AT_ONCE, GroupCommit
from headrace.manager.folders.hashing import HASHERS, HashingJobs
from headrace.manager.folders.partials import Partials
from headrace.manager.folders.snapshots import Snapshots
from headrace.manager.folders.staging import Staging
from headrace.manager.folders.trash import TrashedTrees
from headrace.manager.folders.tree import Tree
from headrace.manager.threads import in_thread

T = TypeVar("T")
_REMOVAL_S = 600.0


class Closeable(Protocol):
    """Holder of file descriptors. close() blocks, and may be called while another call of it still runs in a thread."""

    def close(self) -> None:
        """Close the descriptors."""


C = TypeVar("C", bound=Closeable)


class FolderStorage:
    """Trees, their snapshots, and incomplete uploads below one root.

    A storage that hangs costs each of its callers `timeout_s`, and nobody else.
    """

    def __init__(
        self,
        room: DiskReserve,
        threads: ThreadPoolExecutor,
        flushers: ThreadPoolExecutor,
        closers: ThreadPoolExecutor,
        hashers: ThreadPoolExecutor,
        *,
        timeout_s: float,
    ) -> None:
        self.root = room.root
        self.room = room
        self.partials = Partials(room)
        self.flushing = GroupCommit(flushers)
        self.snapshots = Snapshots(room, self.flushing)
        self.hashing = HashingJobs(room.root, self.snapshots.known, hashers)
        self.trash = TrashedTrees(room.root)
        self._threads = threads
        self._closers = closers
        self._timeout_s = timeout_s

    def tree(self, source: object) -> Tree:
        """Return the files of a folder, by its id, or of a snapshot (`manifest.snapshot_files`)."""
        return Tree(self.root, source)

    def staging(self, import_id: ImportId, folder_id: FolderId) -> Staging:
        """Return the staging area of an import into a folder."""
        return Staging(self.room, self.snapshots, import_id, folder_id)

    async def remove_folder(self, folder_id: FolderId) -> None:
        """Delete all files of a deleted folder and its snapshots. A repeated call goes on where one was interrupted."""
        for remove in (self.tree(folder_id).remove, partial(self.trash.remove, folder_id)):
            await self.call(remove, timeout_s=_REMOVAL_S)
        await self.call(partial(self.snapshots.remove_all, folder_id), timeout_s=_REMOVAL_S)

    def is_left(self, folder_id: FolderId) -> bool:
        """Return whether anything of a deleted folder is on the storage. Blocks."""
        return self.tree(folder_id).exists() or self.trash.has(folder_id) or self.snapshots.has_any(folder_id)

    async def call(
        self,
        function: Callable[[], T],
        *,
        timeout_s: float | None = None,
        ended: Callable[[], None] | None = None,
        unclaimed: Callable[[T], object] | None = None,
    ) -> T:
        """Run a blocking function in a thread. Raises what it raises; Unavailable on timeout.

        `ended` is called when the thread has finished, which may be after the timeout. `unclaimed` gets the result that
        comes after the caller has left.
        """
        limit = timeout_s or self._timeout_s
        try:
            return await in_thread(self._threads, function, timeout_s=limit, ended=ended, unclaimed=unclaimed)
        except TimeoutError:
            raise _slow(limit) from None

    @asynccontextmanager
    async def opened(self, function: Callable[[], C]) -> AsyncIterator[C]:
        """Open a Closeable by a blocking function, and close it on leaving; also when the caller leaves before it is open."""
        one = await self.call(function, unclaimed=self.let_go)
        try:
            yield one
        finally:
            await self.close(one)

    async def close(self, one: Closeable) -> None:
        """Close it in a thread, also when the caller does not wait. Raises Unavailable on timeout."""
        work = asyncio.shield(asyncio.wrap_future(self.let_go(one)))
        try:
            async with asyncio.timeout(self._timeout_s):
                await work
        except TimeoutError:
            raise _slow(self._timeout_s) from None

    def let_go(self, one: Closeable) -> Future[None]:
        """Schedule its close in a thread and return at once; it is closed even when the storage has ended."""
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
    """Yield a storage below `root`, which is created if missing; uploads leave `reserve_bytes` of its disk free."""
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    executor = ThreadPoolExecutor(threads, thread_name_prefix="folders")
    flushers = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="flushers")
    closers = ThreadPoolExecutor(threads, thread_name_prefix="closers")
    hashers = ThreadPoolExecutor(HASHERS, thread_name_prefix="hashers")
    room = DiskReserve(root, reserve_bytes)
    storage = FolderStorage(room, executor, flushers, closers, hashers, timeout_s=timeout_s)
    try:
        yield storage
    finally:
        storage.hashing.stop()
        hashers.shutdown(wait=False, cancel_futures=True)
        executor.shutdown(wait=False, cancel_futures=True)
        flushers.shutdown(wait=False)  # a thread waits for them: it would do so for ever for one that is dropped
        closers.shutdown(wait=False)
