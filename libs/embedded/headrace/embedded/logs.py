"""Log files of child processes: rotated at each start of the stack, bounded while it runs."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

KEPT = 3
"""Older files kept of each log: `.1` is the newest of them."""

MAX_BYTES = 20 * 1024 * 1024
"""A longer log is rotated while it is written to."""


def rotate(log: Path) -> None:
    """Rename `log` to `.1`, `.1` to `.2` and so on; an empty or missing one stays."""
    if not log.exists() or log.stat().st_size == 0:
        return
    _shift(log)
    log.replace(log.with_name(f"{log.name}.1"))


def bound(log: Path, max_bytes: int = MAX_BYTES) -> bool:
    """Copy `log` aside and truncate it if it is longer than `max_bytes`; return True if that was done.

    The writer appends through its own descriptor and does not notice; lines written between copy and truncation are
    lost. Without room for the copy the log is truncated without one. Never raises.
    """
    with suppress(OSError):
        if log.stat().st_size > max_bytes:
            _shift(log)
            aside = log.with_name(f"{log.name}.1")
            try:
                shutil.copyfile(log, aside)
            except OSError:
                aside.unlink(missing_ok=True)
            os.truncate(log, 0)
            return True
    return False


def tail(log: Path, lines: int = 20, max_bytes: int = 32 * 1024) -> str:
    """Return the last `lines` lines of `log`, from its last `max_bytes`; empty if there is none."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - max_bytes))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def _shift(log: Path) -> None:
    for number in range(KEPT - 1, 0, -1):
        with suppress(FileNotFoundError):
            log.with_name(f"{log.name}.{number}").replace(log.with_name(f"{log.name}.{number + 1}"))
