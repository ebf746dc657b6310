"""Output of the demo: each line with the seconds since the start."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from threading import Lock

from headrace.cli.output import Changes
from headrace.cli.text import clean


class DemoOutput:
    """Prints lines from several threads; if the terminal is closed only the lines are lost."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._lock = Lock()
        self._bold = sys.stdout.isatty()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._began

    def step(self, text: str) -> None:
        """Print the beginning of a step."""
        stamp = f"[{self.elapsed_s:5.1f} s]"
        self._write(f"{stamp} \033[1m{clean(text)}\033[0m" if self._bold else f"{stamp} {clean(text)}")

    def detail(self, text: str) -> None:
        """Print a detail of the current step."""
        self._write(f"          {clean(text)}")

    def plain(self, text: str = "") -> None:
        """Print a line as it is."""
        self._write(text)

    def changing(self) -> Changes:
        """Return a function that prints only the lines that changed since the last call."""
        return Changes(self.detail)

    def block(self, lines: Sequence[str]) -> None:
        """Print several lines as they are."""
        for line in lines:
            self._write(line)

    def _write(self, text: str) -> None:
        with self._lock:
            try:
                sys.stdout.write(text + "\n")
                sys.stdout.flush()
            except OSError:  # the terminal is closed; child processes must still be stopped in order
                pass
