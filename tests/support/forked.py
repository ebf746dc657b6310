"""Services as processes forked from one that has imported their code: what runs is `python -m headrace.<name>`, but for the
second of imports that each start would cost."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.support.preloaded"])


class ForkedService:
    """A running service, with the methods of a Popen that tests use."""

    def __init__(self, name: str, environ: Mapping[str, str], log: Path) -> None:
        self._process = _FORKS.Process(target=_serve, args=(name, dict(environ), log, Path.cwd()))
        self._process.start()

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        """Return the exit status, negative after a signal; None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit status. TimeoutExpired while it runs."""
        self._process.join(timeout)
        code = self.poll()
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(str(self._process), timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send the signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


def _serve(name: str, environ: dict[str, str], log: Path, folder: Path) -> None:
    """Become the service, in the forked process."""
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    import_module("headrace.common.runtime.service").main(import_module(f"headrace.{name}.running").SERVICE, ())
