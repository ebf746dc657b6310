"""Processes as /proc shows them.

A process id may be another process's once its own has ended: with the start time and the boot that it counts from, it is one for
ever.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@cache
def boot_id() -> str:
    """Return the machine's boot id: process start times count from that boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@dataclass(frozen=True, slots=True)
class Stat:
    """Process status from /proc. CPU times in clock ticks, memory in pages."""

    pid: int
    parent: int
    alive: bool
    started: int
    own_ticks: int
    """User and system time of the process itself."""
    reaped_ticks: int
    """The same of its exited children."""
    resident: int


def read_stat(pid: int) -> Stat | None:
    """Read the status of `pid`; None if there is no such process."""
    try:
        fd = os.open(
            f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC
        )  # called for every process, and a Path each is slow
        try:
            text = os.read(fd, 4096)
        finally:
            os.close(fd)
    except OSError:
        return None
    # The name (field 2) may hold spaces and parentheses; fields are counted after its end.
    fields = text.rpartition(b")")[2].split(None, 23)
    if len(fields) < 22:
        return None
    return Stat(
        pid,
        int(fields[1]),
        fields[0] not in {b"Z", b"X"},
        int(fields[19]),
        int(fields[11]) + int(fields[12]),
        int(fields[13]) + int(fields[14]),
        int(fields[21]),
    )
