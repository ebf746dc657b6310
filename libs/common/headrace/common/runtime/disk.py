"""Disk space: how much a file system has, and which errors say that it has none."""

from __future__ import annotations

import errno
import os
from pathlib import Path

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def free_bytes(path: Path) -> int:
    """Return the bytes that an unprivileged process may still write to the file system of `path`. Raises OSError."""
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize


def total_bytes(path: Path) -> int:
    """Return the size of the file system of `path`. Raises OSError."""
    found = os.statvfs(path)
    return found.f_blocks * found.f_frsize


def is_full(error: BaseException | None) -> bool:
    """Return True if `error` means that a disk, a quota or a file size limit is exhausted."""
    return isinstance(error, OSError) and error.errno in _FULL


def in_words(size: int) -> str:
    """Format a number of bytes for people: `300 KiB`, `300 MiB`, `1.5 GiB`."""
    if 0 < size < 2**20:
        return f"{size / 1024:.0f} KiB" if size >= 1024 else f"{size} bytes"
    mebibytes = size / 2**20
    return f"{mebibytes:.0f} MiB" if mebibytes < 1024 else f"{mebibytes / 1024:.1f} GiB"
