"""Fetch of objects from managers: several requests at once, each continued where it broke; everything is verified."""

from __future__ import annotations

import asyncio
import hashlib
import os
import random
from collections import Counter, deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias, TypeVar
from uuid import uuid4

import structlog

from headrace.agent.domain.fetch_requests import MAX_SMALL_BYTES, Span, WantedObject, batches, piece, together
from headrace.agent.folder_cache.connection import Body
from headrace.agent.folder_cache.errors import FetchFailed, SnapshotRefused
from headrace.agent.folder_cache.managers import ManagerFiles
from headrace.agent.folder_cache.objects import Objects
from headrace.agent.folder_cache.partial_file import PartialFile
from headrace.agent.folder_cache.progress import FetchProgress
from headrace.agent.folder_cache.threads import in_thread
from headrace.agent.metrics import FOLDER_BYTES_FETCHED, FOLDER_FETCHES_BROKEN
from headrace.common.contracts.ids import SnapshotId

log = structlog.get_logger()
T = TypeVar("T")
Count: TypeAlias = Callable[[int], None]
BUFFER_BYTES: Final = 2**18
"""What is read before it is written: it stays in the processor's cache."""
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
MAX_MISMATCHES: Final = 3
"""How often an object may come with another digest before the snapshot is refused."""


class Fetcher:
    """Fetches objects, with at most `connections` requests at a time for the whole machine."""

    def __init__(
        self, managers: ManagerFiles, objects: Objects, folder: Path, threads: ThreadPoolExecutor, *, connections: int
    ) -> None:
        self._managers = managers
        self._objects = objects
        self._folder = folder
        self._threads = threads
        self._connections = connections
        self._slots = asyncio.Semaphore(connections)

    async def manifest(self, snapshot_id: SnapshotId, progress: FetchProgress) -> bytes:
        """Return the snapshot's manifest as a manager sent it. Waits until one does. Raises SnapshotRefused."""
        received = b""

        async def attempt() -> None:
            nonlocal received
            received = await self._managers.manifest(snapshot_id)

        await self._until_done(attempt, progress)
        return received

    async def fetch(
        self,
        snapshot_id: SnapshotId,
        wanted: Sequence[WantedObject],
        progress: FetchProgress,
        admitted: Callable[[WantedObject], None],
    ) -> None:
        """Fetch these objects of a snapshot; `admitted` is called for each that is in its place. Waits as long as it takes.

        What was fetched stays when it is cancelled. Raises SnapshotRefused, OSError.
        """
        round_ = _Round(self, snapshot_id, progress, admitted)
        todo = list(wanted)
        try:
            while todo:
                todo = await round_.run(todo, self._connections)
        finally:
            self._managers.rest()

    async def receive(
        self, snapshot_id: SnapshotId, left: deque[Span], take: Callable[[Body, Count], None], progress: FetchProgress
    ) -> None:
        """Ask for the spans in `left` until that is empty; `take` reads the bytes in a thread, shortens `left`, and counts."""

        async def attempt() -> None:
            counter = _Counter(progress)
            try:
                await self._managers.parts(snapshot_id, tuple(left), lambda body: take(body, counter.count))
            finally:
                counter.tell()

        while left:
            await self._until_done(attempt, progress)

    def next_manager(self) -> None:
        """Ask another manager from now on: what this one sent is wrong."""
        self._managers.next()

    async def blocking(self, function: Callable[[], T]) -> T:
        """Run a blocking function in a thread."""
        return await in_thread(self._threads, function)

    def partial(self, wanted: WantedObject) -> PartialFile:
        """Open the part of a large object that is here. Blocks."""
        return PartialFile(self._folder, wanted)

    def keep(self, wanted: WantedObject, content: memoryview) -> None:
        """Write a verified small object to its place. Blocks."""
        new = self._folder / f".{uuid4().hex}.new"
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb", buffering=0) as file:
            file.write(content)
        self.admit(wanted, new)

    def admit(self, wanted: WantedObject, source: Path) -> None:
        """Put a verified file in its place. Blocks."""
        self._objects.admit(wanted.name, source)

    async def _until_done(self, attempt: Callable[[], Awaitable[None]], progress: FetchProgress) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            before = progress.transfer().bytes_done
            try:
                async with self._slots:
                    await attempt()
            except FetchFailed as error:
                FOLDER_FETCHES_BROKEN.inc()
                if progress.transfer().bytes_done > before:
                    pause = _FIRST_PAUSE_S
                log.warning("folder_fetch_interrupted", why=str(error), retry_in_s=pause)
                progress.delayed(str(error))
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
                pause = min(2 * pause, _LONGEST_PAUSE_S)
            else:
                return


class _Round:
    """Rounds over the objects of one fetch: those that came with another digest are fetched again in the next one."""

    def __init__(
        self,
        fetcher: Fetcher,
        snapshot_id: SnapshotId,
        progress: FetchProgress,
        admitted: Callable[[WantedObject], None],
    ) -> None:
        self._fetcher = fetcher
        self._snapshot_id = snapshot_id
        self._progress = progress
        self._admitted = admitted
        self._mismatches: Counter[str] = Counter()
        self._again: list[WantedObject] = []

    async def run(self, wanted: Sequence[WantedObject], workers: int) -> list[WantedObject]:
        """Fetch these objects, and return those that came with another digest. Raises SnapshotRefused, OSError."""
        self._again = []
        large: list[_LargeFile] = []
        jobs = self._jobs(wanted, large)
        next_job = asyncio.Lock()

        async def work() -> None:
            while True:
                async with next_job:
                    job = await anext(jobs, None)
                if job is None:
                    return
                await job()

        try:
            async with aclosing(jobs), asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            raise _first(errors) from errors
        finally:
            await self._fetcher.blocking(partial(_close_all, large))
        return self._again

    async def _jobs(
        self, wanted: Sequence[WantedObject], large: list[_LargeFile]
    ) -> AsyncGenerator[Callable[[], Awaitable[None]] | None, None]:
        small = (one for one in wanted if one.size <= MAX_SMALL_BYTES)
        for batch in batches(small):
            yield partial(self._fetch_batch, batch)
        for one in wanted:
            if one.size <= MAX_SMALL_BYTES:
                continue
            file = _LargeFile(await self._fetcher.blocking(partial(self._fetcher.partial, one)))
            large.append(file)
            self._progress.count(file.partial.bytes_done)
            file.left = len(missing := file.partial.missing())
            if not missing:
                yield partial(self._finish, file)
            for index in missing:
                yield partial(self._fetch_piece, file, index)

    async def _fetch_piece(self, file: _LargeFile, index: int) -> None:
        """Fetch a piece of a large object, and finish the object with its last one."""
        left = deque([piece(file.partial.wanted, index)])

        def take(body: Body, count: Count) -> None:
            buffer = memoryview(bytearray(min(BUFFER_BYTES, left[0].length)))
            while left[0].length:
                some = buffer[: left[0].length]
                body.fill(some)
                file.partial.write(left[0].offset, some)
                left[0] = left[0].after(len(some))
                count(len(some))
            left.clear()

        await self._fetcher.receive(self._snapshot_id, left, take, self._progress)
        await self._fetcher.blocking(partial(file.partial.finish_piece, index))
        file.left -= 1
        if not file.left:
            await self._finish(file)

    async def _finish(self, file: _LargeFile) -> None:
        """Verify a large object of which all pieces are there, and put it in its place."""
        wanted = file.partial.wanted
        found = await self._fetcher.blocking(file.partial.digest)
        await self._fetcher.blocking(file.close)
        if found != wanted.sha256:
            await self._fetcher.blocking(file.partial.discard)
            self._refetch(wanted, found)
            return

        def admit() -> None:
            self._fetcher.admit(wanted, file.partial.path)
            file.partial.discard()

        await self._fetcher.blocking(admit)
        self._admitted(wanted)

    async def _fetch_batch(self, batch: Sequence[Span]) -> None:
        """Fetch small objects, verify each in memory, and put it in its place."""
        left = deque(batch)
        kept: list[WantedObject] = []
        wrong: list[tuple[WantedObject, str]] = []

        def take(body: Body, count: Count) -> None:
            while left:
                some = together(left, BUFFER_BYTES)
                rest = memoryview(bytearray(sum(span.length for span in some)))
                body.fill(rest)
                for span in some:
                    content, rest = rest[: span.length], rest[span.length :]
                    found = hashlib.sha256(content).hexdigest()
                    if found == span.wanted.sha256:
                        self._fetcher.keep(span.wanted, content)
                        kept.append(span.wanted)
                    else:
                        wrong.append((span.wanted, found))
                    left.popleft()
                    count(span.length)

        try:
            await self._fetcher.receive(self._snapshot_id, left, take, self._progress)
        finally:
            for wanted in kept:
                self._admitted(wanted)
        for wanted, found in wrong:
            self._refetch(wanted, found)

    def _refetch(self, wanted: WantedObject, found: str) -> None:
        """Fetch an object again that came with another digest. Raises SnapshotRefused when it did so too often."""
        self._mismatches[wanted.name] += 1
        self._fetcher.next_manager()
        self._progress.count(-wanted.size)
        log.warning("folder_file_refused", path=wanted.path, expected=wanted.sha256, found=found)
        if self._mismatches[wanted.name] >= MAX_MISMATCHES:
            raise SnapshotRefused(
                f"managers sent {wanted.path} {MAX_MISMATCHES} times with the digest {found[:12]}…, not {wanted.sha256[:12]}…"
            )
        self._again.append(wanted)


class _LargeFile:
    """Large object that is fetched in pieces."""

    def __init__(self, part: PartialFile) -> None:
        self.partial = part
        self.left = 0
        """Pieces that are still to be fetched."""
        self._closed = False

    def close(self) -> None:
        """Close it, once."""
        if not self._closed:
            self._closed = True
            self.partial.close()


def _close_all(files: Sequence[_LargeFile]) -> None:
    for file in files:
        file.close()


class _Counter:
    """Counter of what a thread receives, which tells the progress of it on the event loop."""

    def __init__(self, progress: FetchProgress) -> None:
        self._progress = progress
        self._loop = asyncio.get_running_loop()
        self._untold = 0

    def count(self, received: int) -> None:
        """Count bytes, in the thread."""
        self._untold += received
        if self._untold >= BUFFER_BYTES:
            self._loop.call_soon_threadsafe(self._progress.count, self._untold)
            FOLDER_BYTES_FETCHED.inc(self._untold)
            self._untold = 0

    def tell(self) -> None:
        """Tell the rest, once the thread has ended."""
        FOLDER_BYTES_FETCHED.inc(self._untold)
        self._progress.count(self._untold)
        self._untold = 0


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group."""
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
