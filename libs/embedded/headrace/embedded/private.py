"""The data folder: private to its owner, held by one process at a time."""

from __future__ import annotations

import fcntl
import os
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final

from headrace.embedded.errors import AlreadyRunningError, FolderNotUsableError

_LOCK: Final = "lock"
_LOGS: Final = "logs"
"""An otherwise empty folder is accepted with it: it is created before the lock is taken."""
_LOOKED_AT: Final = 100


def private_folder(path: Path) -> Path:
    """Make `path` a folder with mode 0700 owned by the caller, and return it resolved.

    Raises FolderNotUsableError if that fails; it never takes a folder over from another account.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = path.stat().st_uid
        if owner != os.geteuid():
            raise FolderNotUsableError(
                f"{path} belongs to uid {owner} and this is uid {os.geteuid()}; "
                "run as its owner, or choose another data folder"
            )
        path.chmod(0o700)
    except OSError as error:
        raise FolderNotUsableError(f"{path} cannot be used: {error.strerror}") from error
    return path.resolve()


def data_folder(path: Path) -> Path:
    """Make `path` the data folder of a stack, private to the caller, and return it resolved.

    Raises FolderNotUsableError where that is not possible, and where somebody else's files lie in it: a stack would write
    among them and take their permissions away.
    """
    try:
        names = {entry.name for entry in islice(path.iterdir(), _LOOKED_AT)} if path.exists() else set[str]()
    except OSError as error:
        raise FolderNotUsableError(f"{path} cannot be used: {error.strerror}") from error
    if _LOCK not in names and (foreign := sorted(names - {_LOGS})) and not (path / _LOCK).exists():
        raise FolderNotUsableError(
            f"{path} holds other files ({', '.join(foreign[:3])}{', …' if len(foreign) > 3 else ''}); "
            "allowed: a new or empty folder, or one that `headrace up` has made"
        )
    return private_folder(path)


class FolderLock:
    """Lock on `<data>/lock` from acquire() to release(). The kernel releases it when the process dies."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._fd: int | None = None

    def acquire(self) -> None:
        """Take the lock. Raises AlreadyRunningError with the holder's pid."""
        fd = os.open(self._data / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = _holder(fd)
            os.close(fd)
            raise AlreadyRunningError(self._data, pid) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode("ascii"), 0)
        self._fd = fd

    def release(self) -> None:
        """Release the lock; idempotent. The file stays: removing it would race with the next holder."""
        if self._fd is not None:
            os.ftruncate(self._fd, 0)
            os.close(self._fd)
            self._fd = None

    def __enter__(self) -> FolderLock:
        self.acquire()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


def lock_holder(data: Path) -> int | None:
    """Return the pid of the process that holds the lock of `data`, or None."""
    try:
        fd = os.open(data / _LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _holder(fd)
    finally:
        os.close(fd)
    return None


def _holder(fd: int) -> int | None:
    text = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
    return int(text) if text.isdigit() else None
