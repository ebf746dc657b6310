"""Reading a kernel's log files while the shim writes and rotates them."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from pathlib import Path

from headrace.agent.runtime.interface import RuntimeUnavailable

BATCH_LINES = 200
POLL_S = 0.1
QUIET_S = 10.0
_READ = 256 * 1024


def last_lines(paths: Sequence[Path], tail: int | None) -> list[str]:
    """Return the last `tail` whole lines of the files taken together, oldest file first. Blocks."""
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
    """Reads the lines that are added to `path`, over rotations to `path.1`, from its present end on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd: int | None = None
        self._rest = b""
        self._open(at_end=True)

    def close(self) -> None:
        """Give the file back."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def more(self) -> list[str]:
        """Return the whole lines that came since the last call; at most about 256 KB of them."""
        if self._fd is None:
            self._open(at_end=False)
        if self._fd is None:
            return []
        data = os.read(self._fd, _READ)
        if not data and self._rotated():
            self.close()
            self._open(at_end=False)
            return self.more() if self._fd is not None else []
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]

    def _open(self, *, at_end: bool) -> None:
        try:
            self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        if at_end:
            os.lseek(self._fd, 0, os.SEEK_END)

    def _rotated(self) -> bool:
        try:
            return self._fd is not None and self._path.stat().st_ino != os.fstat(self._fd).st_ino
        except FileNotFoundError:
            return False


async def read_log(
    path: Path, *, tail: int | None, follow: bool, ended: Callable[[], bool]
) -> AsyncGenerator[Sequence[str], None]:
    """Yield batches of lines as Runtime.logs promises. `ended` says whether the program has ended."""
    follower = Follower(path) if follow else None
    try:
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
