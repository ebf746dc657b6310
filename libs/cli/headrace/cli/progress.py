"""Progress of transfers of many files: a bar on a terminal, else occasional lines."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, ExitStack
from threading import Lock
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from headrace.cli.text import clean, size

_STEP_BYTES: Final = 32 * 1024 * 1024
"""Without a terminal: bytes between two lines of progress."""


class TransferProgress(AbstractContextManager["TransferProgress"]):
    """Progress of a transfer of many files (a TreeProgress), as a context manager; prints nothing if `quiet`."""

    def __init__(self, what: str, *, quiet: bool = False) -> None:
        self._what, self._total, self._quiet = what, 0, quiet
        self._done: dict[str, int] = {}
        self._moved = self._said = 0
        self._lock = Lock()
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._open = ExitStack()

    def begin(self, total_bytes: int) -> None:
        """Show the progress bar with the total size."""
        self._total = total_bytes
        if not self._quiet and sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(binary_units=True),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._open.enter_context(self._bar)
            self._task = self._bar.add_task(clean(self._what), total=max(self._total, 1))

    def __enter__(self) -> TransferProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._open.close()

    def moved(self, path: str, done_bytes: int, size_bytes: int) -> None:  # noqa: ARG002 - the sizes are in the total
        """Update the bar with the bytes transferred so far of the file at `path`."""
        with self._lock:
            self._moved += done_bytes - self._done.get(path, 0)
            self._done[path] = done_bytes
            self._show(self._moved)

    def _show(self, done: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
        elif not self._quiet and (done - self._said >= _STEP_BYTES or done == self._total > self._said):
            self._said = done
            sys.stderr.write(clean(f"{self._what}: {size(done)} of {size(self._total)}") + "\n")
            sys.stderr.flush()
