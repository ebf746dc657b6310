"""Atomic file replacement: a reader, or a crash in between, finds the old content or the new, never a part."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def write_atomically(path: Path, content: bytes | str, *, durable: bool = True, names_too: bool = True) -> None:
    """Replace `path` by `content` (text as UTF-8), mode 0600. Blocks.

    What is written goes to a file beside it, `.NAME.PID.new`, which then takes its name. So a killed process leaves the old
    content. With `durable` (fsync of the file before it is renamed, and of its folder after that) the new one is there also after
    the machine lost power from the moment at which this returns; without it that may bring the old one back, and saves the two
    waits. `names_too=False` leaves the second one to a caller who replaces many files, and then calls sync_folder() once.

    Raises OSError, on a full disk too, with the old file in place and nothing of the new one left: a part would only take room. (With the
    new one in place where it was its folder that could not be synced.)
    """
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    with suppress(FileNotFoundError):
        new.unlink()  # of a process with the same number that was killed here
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
    """Bring the names in `folder` to the disk. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left of files in `folder`. Only for whoever alone writes there. Raises OSError."""
    for left in folder.glob(".*.new"):
        left.unlink(missing_ok=True)
