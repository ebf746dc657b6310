"""Exit codes, and the command line's own expected error. Imports nothing heavy: every start of the command line loads it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class ExitCode(IntEnum):
    """Exit status of the process; documented in `headrace --help` and docs/cli.md."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    DENIED = 4
    WAITED = 5
    INTERRUPTED = 130


EXIT_CODES: Final[Mapping[ExitCode, str]] = {
    ExitCode.OK: "done",
    ExitCode.FAILED: "refused or failed; what was found and what is allowed is printed",
    ExitCode.USAGE: "wrong usage of the command line",
    ExitCode.UNREACHABLE: "the server cannot be reached, or does not run",
    ExitCode.DENIED: "not logged in, or not allowed",
    ExitCode.WAITED: "what was waited for failed or did not come in time",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
}


class CliError(Exception):
    """Expected failure. `str()` is a sentence for people; `log` are the last lines of a related log."""

    def __init__(self, text: str, code: ExitCode = ExitCode.FAILED, *, hint: str = "", log: str = "") -> None:
        super().__init__(text)
        self.code, self.hint, self.log = code, hint, log
