"""Set-user-id programs in shared folders: cleared, because a container may have left them for users outside."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from headrace.common.runtime.files import open_below

MAX_VISITED_ENTRIES = 200_000
"""Bound on entries visited in one folder after one container."""
MAX_FOLDER_DEPTH = 64
"""Bound on the depth of nested folders."""
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def clear_setuid(folder: Path) -> int:
    """Clear set-user-id and set-group-id bits of the programs below `folder`. Return how many had one. Blocks.

    Containers themselves cannot use them (no-new-privileges), but another user of the storage could. No link is
    followed, not even one that another container puts in a folder's place meanwhile: each directory is opened step by
    step from `folder`.
    """
    found = looked = 0
    waiting: list[tuple[str, ...]] = [()]
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        while waiting and looked < MAX_VISITED_ENTRIES:
            steps = waiting.pop()
            with suppress(OSError):
                fd = open_below(top, steps)
                try:
                    folders, looked_here, found_here = clear_in(fd, MAX_VISITED_ENTRIES - looked)
                finally:
                    os.close(fd)
                looked, found = looked + looked_here, found + found_here
                if len(steps) < MAX_FOLDER_DEPTH:
                    waiting += [(*steps, name) for name in folders]
    finally:
        os.close(top)
    return found


def clear_in(fd: int, most: int) -> tuple[list[str], int, int]:
    """Clear the bits in the directory open as `fd`.

    Return its subdirectories, the number of entries, and how many had a bit set.
    """
    folders: list[str] = []
    looked = found = 0
    with os.scandir(fd) as entries:
        for entry in entries:
            if looked >= most:
                break
            looked += 1
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                elif entry.is_file(follow_symlinks=False) and _has_right(entry.stat(follow_symlinks=False).st_mode):
                    found += _clear(fd, entry.name)
    return folders, looked, found


def _clear(folder: int, name: str) -> int:
    fd = os.open(name, _FILE, dir_fd=folder)
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            return 0
        os.fchmod(fd, stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID))
    finally:
        os.close(fd)
    return 1


def _has_right(mode: int) -> bool:
    return bool(mode & (stat.S_ISUID | stat.S_ISGID))
