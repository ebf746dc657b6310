"""Log archive: the last log lines of removed kernels."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from contextlib import aclosing, suppress
from datetime import timedelta
from pathlib import Path

from headrace.agent.prestart import PrestartLog
from headrace.agent.runtime.interface import Runtime, RuntimeUnavailable
from headrace.common.contracts.ids import KernelId
from headrace.common.runtime.files import write_atomically

KEPT_LINES = 2_000
_MAX_FILES = 200
_READ_S = 10.0


class LogArchive:
    """Archive of the last 2,000 log lines of each removed kernel, kept for `retention`, for at most 200 kernels."""

    def __init__(self, folder: Path, retention: timedelta) -> None:
        self._folder = folder
        self._retention_s = retention.total_seconds()

    async def keep(self, kernel_id: KernelId, runtime: Runtime, prestart: PrestartLog) -> None:
        """Store the last lines of the kernel's log, and drop archives past retention.

        A log that cannot be read does not block the removal.
        """
        lines: deque[str] = deque(prestart.lines(), maxlen=KEPT_LINES)
        with suppress(TimeoutError, RuntimeUnavailable):
            async with (
                asyncio.timeout(_READ_S),
                aclosing(runtime.logs(kernel_id, tail=KEPT_LINES, follow=False)) as batches,
            ):
                async for batch in batches:
                    lines.extend(batch)
        await asyncio.to_thread(self._store, kernel_id, lines)

    def lines(self, kernel_id: KernelId) -> list[str] | None:
        """Return the archived lines; None if there are none. Blocks."""
        try:
            return self._path(kernel_id).read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return None

    def _store(self, kernel_id: KernelId, lines: Sequence[str]) -> None:
        with suppress(OSError):  # a full disk must not keep a kernel from being removed
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(self._path(kernel_id), "".join(f"{line}\n" for line in lines).encode(), durable=False)
        newest_first = sorted(self._folder.glob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True)
        oldest = time.time() - self._retention_s
        for number, path in enumerate(newest_first):
            with suppress(OSError):
                if number >= _MAX_FILES or path.stat().st_mtime < oldest:
                    path.unlink(missing_ok=True)

    def _path(self, kernel_id: KernelId) -> Path:
        return self._folder / f"{kernel_id}.log"
