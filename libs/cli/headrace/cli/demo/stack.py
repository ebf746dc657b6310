"""The stack of the demo: `headrace up` as a child process, its progress passed on."""

from __future__ import annotations

import json
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Event
from types import TracebackType
from typing import Any

from headrace.cli.demo.children import Program, tail_of
from headrace.cli.demo.demo_output import DemoOutput
from headrace.cli.errors import CliError, ExitCode
from headrace.embedded.state import StackState

_START_S = 90.0
_STOP_S = 90.0
_POLL_S = 0.1


class Stack(AbstractContextManager["Stack"]):
    """Local stack on one data folder, as a context manager; on exit everything has stopped, containers too."""

    def __init__(self, data: Path, teller: DemoOutput) -> None:
        self.data = data
        self._teller = teller
        self._ready = Event()
        self._state: StackState | None = None
        self._refusal: dict[str, Any] = {}
        argv = (sys.executable, "-m", "headrace.cli", "up", "--json", "--data", str(data), "--runtime", "process")
        self._program = Program("headrace up", argv, self._hear, stop_within_s=_STOP_S)

    def ready(self) -> StackState:
        """Return the stack's state once all of it is up. Raises CliError with the relevant log."""
        waited = 0.0
        while not self._ready.wait(_POLL_S):
            waited += _POLL_S
            self.check()
            if waited > _START_S:
                raise CliError(
                    f"the stack did not start within {_START_S:.0f} s", ExitCode.WAITED, log=self._program.tail
                )
        if self._state is None:
            raise AssertionError("set before the event")
        return self._state

    def check(self) -> None:
        """Raise CliError if the stack has exited."""
        code = self._program.exit_code
        if code is None:
            return
        self._program.wait(5)
        why = str(self._refusal.get("detail") or f"`headrace up` ended with {code}")
        log = str(self._refusal.get("log") or tail_of(self.data / "logs" / "up.log") or self._program.tail)
        raise CliError(f"the stack does not run: {why}", log=log, hint=str(self._refusal.get("hint", "")))

    def log(self, part: str) -> str:
        """Return the end of one process's log, for example of `appproxy`."""
        return tail_of(self.data / "logs" / f"{part}.log")

    def stop(self) -> int:
        """Stop everything and return the exit code; idempotent."""
        return self._program.stop()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def _hear(self, line: str) -> None:
        """Process a line of `headrace up --json`: progress, or an error; anything else is printed."""
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if not isinstance(said, dict) or "detail" not in said:
            self._teller.detail(line)
        elif "stage" not in said:
            self._refusal = said
        elif "stack" in said:
            self._state = StackState.model_validate(said["stack"])
            self._ready.set()
        else:
            self._teller.detail(str(said["detail"]))
