"""`headrace up --detach`: starts the supervisor as a separate process and returns when the stack is ready."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from headrace.cli.errors import CliError
from headrace.embedded.private import data_folder, lock_holder, private_folder

_POLL_S = 0.05
_SHOWN_ERROR = 4000
"""Characters of the supervisor's standard error that are shown if it exits before it is ready."""


def start_detached(folder: Path, arguments: Sequence[str], on_progress: Callable[[str], None]) -> None:
    """Run `headrace up ARGUMENTS` in a new session; return once it is ready, and leave it running.

    Its progress goes to logs/up.out, its errors to logs/up.err. Waits as long as the supervisor lives: each of its
    steps has a time-out. Interrupted, it stops the supervisor. Raises CliError if the supervisor exits before it is
    ready, FolderNotUsableError if the folder cannot be a data folder.
    """
    logs = private_folder(data_folder(folder) / "logs")
    progress, errors = logs / "up.out", logs / "up.err"
    mode = "wb" if lock_holder(folder) is None else "ab"  # the output of a running stack is not truncated
    with progress.open(mode) as out, errors.open(mode) as err:
        begin = out.tell()
        child = subprocess.Popen(
            [sys.executable, "-m", "headrace.cli", "--json", "up", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    try:
        for record in _records(progress, begin, child):
            if record.get("stage") == "ready":
                return
            on_progress(str(record.get("detail", "")))
    except BaseException:
        child.send_signal(signal.SIGTERM)
        child.wait()
        raise
    raise CliError(f"the stack on {folder} did not start: {_error(errors)}", log=_error(errors, whole=True))


def _records(file: Path, begin: int, child: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the new lines of `file` after `begin`, until `child` has exited and all is read."""
    with file.open(encoding="utf-8") as lines:
        lines.seek(begin)
        line = ""
        while True:
            ended = child.poll() is not None
            line += lines.readline()
            if line.endswith("\n"):
                yield json.loads(line)
                line = ""
            elif ended:
                return
            else:
                time.sleep(_POLL_S)


def _error(file: Path, *, whole: bool = False) -> str:
    text = file.read_text(encoding="utf-8", errors="replace")[-_SHOWN_ERROR:].strip()
    try:
        document = json.loads(text.splitlines()[-1])
        return str(document.get("log" if whole else "detail", ""))
    except (ValueError, IndexError):
        return text if whole else (text.splitlines() or ["it ended without a word"])[-1]
