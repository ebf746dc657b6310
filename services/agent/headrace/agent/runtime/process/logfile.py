"""Reader of a kernel's log files while the shim writes and rotates them."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock

from headrace.agent.runtime.interface import RuntimeUnavailable

BATCH_LINES = 200
POLL_S = 0.1
QUIET_S = 10.0
_READ = 256 * 1024


def last_lines(paths: Sequence[Path], tail: int | None) -> list[str]:
    """Return the last `tail` complete lines of the files together, oldest file first. Blocks."""
    lines: deque[str] = deque(maxlen=tail)
    for path in paths:
        try:
            with path.open("rb") as file:
                lines.extend(line[:-1].decode("utf-8", "replace") for line in file if line.endswith(b"\n"))
        except FileNotFoundError:
            continue
        except OSError as error:
            raise RuntimeUnavailable(f"the log cannot be read: {error.strerror}") from error
    return list(lines)


class Follower:
    """Reads each line of `path` once: existing ones by tail(), then new ones by more(), across rotation to `path.1`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._rest = b""
        self._reading = Lock()
        self._closed = False
        self._open()

    def close(self) -> None:
        """Close the file. While tail() reads it in a thread, tail() closes it when it has read."""
        self._closed = True
        if self._reading.acquire(blocking=False):
            self._close_file()
            self._reading.release()

    def tail(self, tail: int | None) -> list[str]:
        """Return the last `tail` complete lines, of rotated files first; more() continues right after them. Blocks."""
        try:
            with self._reading:
                return self._tail(tail)
        finally:
            if self._closed:
                self.close()

    def _tail(self, tail: int | None) -> list[str]:
        lines: deque[str] = deque(maxlen=tail)
        try:
            older = self._path.with_name(self._path.name + ".1")
            if self._fd is None or _inode(older) != os.fstat(self._fd).st_ino:  # else it was rotated just now
                lines.extend(last_lines((older,), tail))
            while self._fd is not None and (data := os.read(self._fd, _READ)):
                *more, self._rest = (self._rest + data).split(b"\n")
                lines.extend(line.decode("utf-8", "replace") for line in more)
        except OSError as error:
            raise RuntimeUnavailable(f"the log cannot be read: {error.strerror}") from error
        return list(lines)

    def more(self) -> list[str]:
        """Return the complete lines added since the last call; at most about 256 KB of them."""
        if self._fd is None:
            self._open()
        if self._fd is None:
            return []
        data = os.read(self._fd, _READ)
        if not data and self._rotated():
            data = os.read(self._fd, _READ)  # once more, as now nothing is added to it
            if not data:
                self._close_file()
                self._open()
                return self.more() if self._fd is not None else []
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]

    def _close_file(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _open(self) -> None:
        with suppress(FileNotFoundError):
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)

    def _rotated(self) -> bool:
        there = _inode(self._path)
        return self._fd is not None and there is not None and there != os.fstat(self._fd).st_ino


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except FileNotFoundError:
        return None


async def read_log(
    path: Path, *, tail: int | None, follow: bool, ended: Callable[[], bool]
) -> AsyncGenerator[Sequence[str], None]:
    """Yield batches of lines as Runtime.logs promises. `ended` returns whether the program has exited."""
    follower = Follower(path) if follow else None
    try:
        if follower is not None:
            lines = await asyncio.to_thread(follower.tail, tail)
        else:
            lines = await asyncio.to_thread(last_lines, (path.with_name(path.name + ".1"), path), tail)
        for start in range(0, len(lines), BATCH_LINES):
            yield lines[start : start + BATCH_LINES]
        quiet_s = 0.0
        while follower is not None:
            over = ended()  # asked before the last read, so that nothing is missed
            more = follower.more()
            if more or quiet_s >= QUIET_S:
                quiet_s = 0.0
                for start in range(0, max(len(more), 1), BATCH_LINES):
                    yield more[start : start + BATCH_LINES]
            elif over:
                return
            else:
                quiet_s += POLL_S
                await asyncio.sleep(POLL_S)  # files tell nobody that they grew; a tenth of a second is soon enough
    finally:
        if follower is not None:
            follower.close()
