"""Uploads that are not complete: one file each, whose size is the offset. All functions block: call them in a thread."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from contextlib import suppress
from pathlib import Path
from uuid import UUID

from headrace.common.contracts.problems import Locked, NotFound
from headrace.manager.folders.errors import Room, problems

_BLOCK = 1024 * 1024


class Partials:
    """The uploads below `<root>/.uploads`."""

    def __init__(self, room: Room) -> None:
        self.path = room.root / ".uploads"
        self.room = room

    def create(self, upload_id: UUID) -> None:
        """Make the empty file."""
        with problems("the upload", storage=self.room.root):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._file(upload_id), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))

    def new(self, upload_id: UUID) -> Path:
        """Make the empty file and return its path."""
        self.create(upload_id)
        return self._file(upload_id)

    def size(self, upload_id: UUID) -> int:
        """Return how many bytes have arrived. Raises NotFound."""
        with problems("the upload"):
            return self._file(upload_id).stat().st_size

    def open(self, upload_id: UUID) -> Appender:
        """Return the upload open for writing, held against others (also of other managers). Raises Locked, NotFound."""
        with problems("the upload"):
            fd = os.open(self._file(upload_id), os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise Locked("another request writes to this upload") from None
        if os.fstat(fd).st_nlink == 0:  # finished or removed between open and lock
            os.close(fd)
            raise NotFound("the upload does not exist")
        return Appender(fd, self._file(upload_id), self.room)

    def remove(self, upload_id: UUID) -> None:
        """Forget what arrived; nothing happens if it is gone."""
        with problems("the upload"):
            self._file(upload_id).unlink(missing_ok=True)

    def stale(self, *, older_than_s: float, limit: int) -> list[UUID]:
        """Return at most `limit` uploads that nothing was written to for so long."""
        found: list[UUID] = []
        before = time.time() - older_than_s
        if not self.path.is_dir():
            return found
        with os.scandir(self.path) as entries:
            for entry in entries:
                if len(found) >= limit:
                    break
                with suppress(ValueError, FileNotFoundError):
                    if entry.stat(follow_symlinks=False).st_mtime < before:
                        found.append(UUID(entry.name))
        return found

    def exists(self, upload_id: UUID) -> bool:
        """Whether something of it is there."""
        return self._file(upload_id).exists()

    def _file(self, upload_id: UUID) -> Path:
        return self.path / str(upload_id)


class Appender:
    """An upload open for writing by one request. Close it always; a call that still runs in a thread is waited for."""

    def __init__(self, fd: int, path: Path, room: Room) -> None:
        self._file = os.fdopen(fd, "ab", buffering=0)
        self._lock = threading.Lock()
        self._room = room
        self.path = path

    def close(self) -> None:
        """Let go of it. What was written before is on the disk."""
        with self._lock, problems("the upload", storage=self._room.root), self._file:
            if not self._file.closed:
                os.fsync(self._file.fileno())

    def size(self) -> int:
        """Return how many bytes have arrived."""
        with self._lock, problems("the upload"):
            return os.fstat(self._file.fileno()).st_size

    def write(self, chunk: bytes, *, what: str, left_bytes: int) -> None:
        """Add `chunk` at the end. Raises InsufficientStorage when `left_bytes`, all that `what` still needs, find no room, and
        NotFound when it was removed: it counts no more, and would take room for as long as it is open."""
        self._room.check(what, left_bytes)
        view = memoryview(chunk)
        with self._lock, problems(what, storage=self._room.root, needed_bytes=left_bytes):
            if os.fstat(self._file.fileno()).st_nlink == 0:
                raise NotFound("the upload does not exist any more")
            while view:
                view = view[self._file.write(view) :]

    def sync(self) -> None:
        """Return when what was written is on the disk."""
        with self._lock, problems("the upload", storage=self._room.root):
            os.fsync(self._file.fileno())

    def sha256(self) -> str:
        """Return the hexadecimal digest of what arrived, read from the disk block by block."""
        digest = hashlib.sha256()
        with problems("the upload"), self.path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
        return digest.hexdigest()
