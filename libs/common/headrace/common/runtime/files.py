"""Atomic file replacement: a reader, or a crash in between, finds the old content or the new, never a part."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def write_atomically(path: Path, content: bytes | str, *, durable: bool = True, names_too: bool = True) -> None:
    """Replace `path` atomically by `content` (text as UTF-8), mode 0600. Blocks.

    The content is written to `.NAME.PID.new` beside it, which is then renamed: so a killed process leaves the old
    content. With `durable` (fsync of the file before the rename, and of its folder after it) the new content survives a
    power loss from the moment this returns; without it the old content may come back, and two waits are saved.
    `names_too=False` leaves the second fsync to a caller who replaces many files, and then calls sync_folder() once.

    Raises OSError, also on a full disk, with the old file in place and nothing of the new one left. (With the new one
    in place if only the fsync of its folder failed.)
    """
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    with suppress(FileNotFoundError):
        new.unlink()  # of a killed process with the same pid
    try:
        fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            if durable:
                os.fsync(fd)
        new.replace(path)
    except OSError:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise
    if durable and names_too:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Sync the directory entries of `folder` to disk (fsync). Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def open_below(top: int, names: Iterable[str]) -> int:
    """Open the directory at `names` below the open directory `top`, step by step, following no link; the caller closes it.

    Raises OSError.
    """
    fd = os.dup(top)
    for name in names:
        try:
            below = os.open(name, _DIRECTORY, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that killed processes left in `folder`. Only for its sole writer. Raises OSError."""
    for left in folder.glob(".*.new"):
        left.unlink(missing_ok=True)
