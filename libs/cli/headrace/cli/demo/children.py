"""Child processes of the demo: their output is forwarded line by line, and they do not outlive it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Thread
from types import TracebackType

from headrace.embedded.process import LAUNCHER

_TAIL_LINES = 40


class Program:
    """Child process in a session of its own: Ctrl-C in the terminal reaches the demo only.

    The kernel sends it SIGTERM when the demo dies; start it from the main thread, to which it is tied. `hear` gets each
    line of its output, in a thread of its own.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        hear: Callable[[str], None],
        *,
        stop_within_s: float,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Start it. Raises OSError."""
        self.name = name
        self._hear, self._stop_within_s = hear, stop_within_s
        self._last: deque[str] = deque(maxlen=_TAIL_LINES)
        launcher = (sys.executable, "-I", "-S", str(LAUNCHER), str(os.getpid()), str(int(signal.SIGTERM)), "same", "-")
        self._process = subprocess.Popen(
            (*launcher, *argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=dict(os.environ if environ is None else environ),
            start_new_session=True,
        )
        self._reader = Thread(target=self._read, name=f"output of {name}", daemon=True)
        self._reader.start()

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    @property
    def tail(self) -> str:
        """Last lines of its output."""
        return "\n".join(self._last)

    def wait(self, within_s: float | None = None) -> int:
        """Return the exit code once it exited and all its output was read. Raises subprocess.TimeoutExpired."""
        code = self._process.wait(within_s)
        self._reader.join(5)
        return code

    def stop(self) -> int:
        """Terminate it, wait, then kill it; return the exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                return self.wait(self._stop_within_s)
            self._process.kill()
        return self.wait(10)

    def __enter__(self) -> Program:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _read(self) -> None:
        if self._process.stdout is None:
            return
        with self._process.stdout as output:
            for raw in output:
                line = raw.decode(errors="replace").rstrip()
                if line:
                    self._last.append(line)
                    self._hear(line)


def tail_of(log: Path, lines: int = 20) -> str:
    """Return the last lines of a log file; empty when there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 64 * 1024))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ""
