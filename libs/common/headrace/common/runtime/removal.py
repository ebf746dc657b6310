"""Removal of directory trees that untrusted programs filled."""

from __future__ import annotations

import os
import secrets
from collections import deque
from collections.abc import Callable
from contextlib import suppress

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


Removed = Callable[[os.stat_result], None]


def remove_tree(path: str | os.PathLike[str], *, dir_fd: int | None = None, removed: Removed | None = None) -> None:
    """Remove the directory at `path` (relative to `dir_fd`) recursively; does nothing if it is missing. Blocks.

    `removed` is called with the stat of each removed entry. Symbolic links are not followed, and neither stack nor
    descriptors grow with the depth, which an untrusted writer chose (shutil.rmtree ends in a RecursionError at some
    hundred levels). Raises OSError; a repeated call continues.
    """
    with suppress(FileNotFoundError):
        top = os.open(path, _DIRECTORY, dir_fd=dir_fd)
        try:
            _empty(top, removed)
            facts = os.fstat(top)
        finally:
            os.close(top)
        os.rmdir(path, dir_fd=dir_fd)
        if removed is not None:
            removed(facts)


def _empty(top: int, removed: Removed | None) -> None:
    """Empty a directory: each subdirectory is moved up into `top` before it is emptied, so that none is deeper than one
    level.
    """
    waiting = deque(_unlink_files(top, removed))
    while waiting:
        name = waiting.popleft()
        fd = os.open(name, _DIRECTORY, dir_fd=top)
        try:
            for below in _unlink_files(fd, removed):
                lifted = f".removed-{secrets.token_hex(8)}"
                os.rename(below, lifted, src_dir_fd=fd, dst_dir_fd=top)
                waiting.append(lifted)
            facts = os.fstat(fd)
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=top)
        if removed is not None:
            removed(facts)


def _unlink_files(fd: int, removed: Removed | None) -> list[str]:
    """Unlink everything but directories in `fd`, and return the names of these."""
    with os.scandir(fd) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, directory in found:
        if not directory:
            with suppress(FileNotFoundError):
                facts = os.stat(name, dir_fd=fd, follow_symlinks=False) if removed is not None else None
                os.unlink(name, dir_fd=fd)
                if removed is not None and facts is not None:
                    removed(facts)
    return [name for name, directory in found if directory]
