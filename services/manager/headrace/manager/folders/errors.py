"""Conversion of file system errors into Problems.

A full disk or a path that is too long is an answer to the caller, not a failure of the manager.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from headrace.common.contracts.problems import Conflict, InsufficientStorage, NotFound, Problem, Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.common.runtime.disk import free_bytes, in_words, is_full, total_bytes

_IN_THE_WAY = {errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ELOOP}
RESERVE_BYTES = 256 * 2**20


@contextmanager
def problems(what: str, *, storage: Path | None = None, needed_bytes: int = 0) -> Iterator[None]:
    """Convert OSErrors inside into Problems about `what` (a path as the caller wrote it).

    For a full disk the free space of `storage` and `needed_bytes` are in the text.
    """
    try:
        yield
    except OSError as error:
        raise _problem(error, what, storage, needed_bytes) from error


class DiskReserve:
    """Reserve of free space on the file system of `root`: other programs write to the disk too."""

    def __init__(self, root: Path, reserve_bytes: int = RESERVE_BYTES) -> None:
        self.root = root
        self._reserve = reserve_bytes

    def check(self, what: str, needed_bytes: int) -> None:
        """Raise InsufficientStorage, with the numbers, when `needed_bytes` would cut into the reserve. Blocks."""
        try:
            free, total = free_bytes(self.root), total_bytes(self.root)
        except OSError:
            return  # the write says what is wrong
        if total and needed_bytes > 0 and free - self._reserve < needed_bytes:
            raise no_room(what, free, needed_bytes, self._reserve)


def no_room(what: str, free: int, needed_bytes: int, reserve_bytes: int = 0) -> InsufficientStorage:
    """Return InsufficientStorage with its numbers."""
    kept = f", of which {_words(reserve_bytes)} are kept (setting storage_reserve_bytes)" if reserve_bytes else ""
    needed = f"{_words(needed_bytes)} are needed, " if needed_bytes else ""
    most = max(0, free - reserve_bytes)
    return InsufficientStorage(
        f"the storage has no room for {what}: {needed}{_words(free)} are free{kept}",
        field=what,
        found=f"{needed_bytes} bytes",
        allowed=f"at most {most} bytes now",
        needed_bytes=needed_bytes,
        free_bytes=free,
        reserve_bytes=reserve_bytes,
    )


def _words(size: int) -> str:
    return in_words(size) if size >= 2**20 else f"{size} bytes"


def _problem(error: OSError, what: str, storage: Path | None, needed_bytes: int) -> Problem:
    if error.errno == errno.ENOENT:
        return NotFound(
            f"{what} does not exist" if what.startswith("the ") else f"there is nothing at {what} in the folder"
        )
    if is_full(error):
        return _full(what, storage, needed_bytes)
    if error.errno in _IN_THE_WAY:
        return Conflict(f"{what}: something else is in the way (a file where a folder is needed, or a link)")
    if error.errno == errno.ENAMETOOLONG:
        return Conflict(f"{what} is too long for the storage")
    return Unavailable(f"the storage cannot be used: {error.strerror}", reason=ApiReason.STORAGE_FAILED)


def _full(what: str, storage: Path | None, needed_bytes: int) -> InsufficientStorage:
    if storage is not None:
        with suppress(OSError):
            return no_room(what, free_bytes(storage), needed_bytes)
    return InsufficientStorage(f"the storage has no room for {what}")
