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
from typing import Final, Protocol, TypeVar
from uuid import uuid4

import structlog

from headrace.agent.domain.fetch_requests import MAX_SMALL_BYTES, Span, WantedObject, batches, piece
from headrace.agent.folder_cache.errors import FetchFailed, SnapshotRefused
from headrace.agent.folder_cache.managers import ManagerFiles
from headrace.agent.folder_cache.objects import Objects
from headrace.agent.folder_cache.partial_file import PartialFile
from headrace.agent.folder_cache.progress import FetchProgress
from headrace.agent.metrics import FOLDER_BYTES_FETCHED, FOLDER_FETCHES_BROKEN
from headrace.common.contracts.ids import SnapshotId

log = structlog.get_logger()
T = TypeVar("T")
_WRITE_BYTES: Final = 2**20
_WRITE_PARTS: Final = 1024
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 30.0
MAX_MISMATCHES: Final = 3
"""How often an object may come with another digest before the snapshot is refused."""


async def in_thread(threads: ThreadPoolExecutor, function: Callable[[], T]) -> T:
    """Run a blocking function in a thread; when cancelled, return only once it has ended, so that nothing is used after it."""
    work = asyncio.get_running_loop().run_in_executor(threads, function)
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.wait([work])
        raise


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
        while todo:
            todo = await round_.run(todo, self._connections)

    async def receive(self, snapshot_id: SnapshotId, left: deque[Span], sink: _Sink, progress: FetchProgress) -> None:
        """Ask for the spans in `left` and give what comes to `sink`, which shortens `left`, until that is empty."""

        async def attempt() -> None:
            progress.count(-sink.restart())
            async with aclosing(self._managers.parts(snapshot_id, tuple(left))) as received:
                async for data in received:
                    FOLDER_BYTES_FETCHED.inc(len(data))
                    progress.count(len(data))
                    await sink.take(data)

        while left:
            await self._until_done(attempt, progress)

    def next_manager(self) -> None:
        """Ask another manager from now on: what this one sent is wrong."""
        self._managers.next()

    async def blocking(self, function: Callable[[], T]) -> T:
        """Run a blocking function in a thread."""
        return await in_thread(self._threads, function)

    def new_file(self) -> Path:
        """Return the path of a new temporary file."""
        return self._folder / f".{uuid4().hex}.new"

    def partial(self, wanted: WantedObject) -> PartialFile:
        """Open the part of a large object that is here. Blocks."""
        return PartialFile(self._folder, wanted)

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


class _Sink(Protocol):
    """Taker of received bytes."""

    async def take(self, data: bytes) -> None:
        """Take the next bytes."""

    def restart(self) -> int:
        """Drop bytes that will be sent again, and return how many."""


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
        await self._fetcher.receive(self._snapshot_id, left, _PieceSink(self._fetcher, file, left), self._progress)
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
        sink = _BatchSink(left, self._keep)
        await sink.take(b"")  # nothing comes for files that are empty
        await self._fetcher.receive(self._snapshot_id, left, sink, self._progress)

    async def _keep(self, some: Sequence[tuple[WantedObject, bytes]]) -> None:
        def store() -> list[tuple[WantedObject, str]]:
            wrong = []
            for wanted, content in some:
                found = hashlib.sha256(content).hexdigest()
                if found != wanted.sha256:
                    wrong.append((wanted, found))
                    continue
                new = self._fetcher.new_file()
                fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(fd, "wb", buffering=0) as file:
                    file.write(content)
                self._fetcher.admit(wanted, new)
            return wrong

        wrong = await self._fetcher.blocking(store)
        names = {wanted.name for wanted, _ in wrong}
        for wanted, _ in some:
            if wanted.name not in names:
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


class _PieceSink:
    """Writer of a piece of a large object."""

    def __init__(self, fetcher: Fetcher, file: _LargeFile, left: deque[Span]) -> None:
        self._fetcher = fetcher
        self._file = file
        self._left = left
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0

    async def take(self, data: bytes) -> None:
        """Write what came once it is enough, or all."""
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        span = self._left[0]
        if self._waiting_bytes < min(_WRITE_BYTES, span.length) and len(self._waiting) < _WRITE_PARTS:
            return
        await self._fetcher.blocking(partial(self._file.partial.write, span.offset, self._waiting))
        rest = span.after(self._waiting_bytes)
        self.restart()
        if rest.length:
            self._left[0] = rest
        else:
            self._left.clear()

    def restart(self) -> int:
        """Drop what was not written."""
        dropped = self._waiting_bytes
        self._waiting, self._waiting_bytes = [], 0
        return dropped


class _BatchSink:
    """Splitter of a stream of small objects."""

    def __init__(
        self, left: deque[Span], keep: Callable[[Sequence[tuple[WantedObject, bytes]]], Awaitable[None]]
    ) -> None:
        self._left = left
        self._keep = keep
        self._received = bytearray()

    async def take(self, data: bytes) -> None:
        """Keep the objects that are whole now."""
        self._received += data
        whole = []
        at = 0
        while self._left and len(self._received) - at >= self._left[0].length:
            span = self._left.popleft()
            whole.append((span.wanted, bytes(self._received[at : at + span.length])))
            at += span.length
        del self._received[:at]
        if whole:
            await self._keep(whole)

    def restart(self) -> int:
        """Drop the beginning of an object that was cut."""
        dropped = len(self._received)
        self._received.clear()
        return dropped


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first error of a group."""
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
