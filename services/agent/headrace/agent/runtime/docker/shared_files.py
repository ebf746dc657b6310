"""Folders that containers may write to: what they leave there must not give rights to whoever runs it elsewhere."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

MOST_ENTRIES = 200_000
"""Looked at in one folder after one container."""


def take_away_rights(folder: Path) -> int:
    """Clear set-user-id and set-group-id of the programs below `folder`, no link followed. Return how many had one. Blocks.

    Containers themselves cannot use them (no-new-privileges), but another user of the storage could.
    """
    found = looked = 0
    waiting = [str(folder)]
    while waiting and looked < MOST_ENTRIES:
        with suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                looked += 1
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_file(follow_symlinks=False):
                        found += _clear(entry.path, entry.stat(follow_symlinks=False).st_mode)
    return found


def _clear(path: str, mode: int) -> int:
    if not mode & (stat.S_ISUID | stat.S_ISGID):
        return 0
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            return 0
        os.fchmod(fd, stat.S_IMODE(mode) & ~(stat.S_ISUID | stat.S_ISGID))
    finally:
        os.close(fd)
    return 1
