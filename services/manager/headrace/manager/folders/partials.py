"""Incomplete uploads: one file each, whose size is the upload offset. All functions block: call them in a thread."""

from __future__ import annotations

import fcntl
import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final
from uuid import UUID

from headrace.common.contracts.ids import FolderId
from headrace.common.contracts.problems import Locked, NotFound
from headrace.manager.folders.errors import DiskReserve, problems

_BLOCK = 1024 * 1024
_LOCKS = 64
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


MAX_DIGESTS: Final = 1000
"""Bound on cached digests of open uploads, a few hundred bytes each."""


class Partials:
    """Incomplete uploads below `<root>/.uploads`."""

    def __init__(self, room: DiskReserve) -> None:
        self.path = room.root / ".uploads"
        self.room = room
        self._digests = Digests()

    def create(self, upload_id: UUID) -> None:
        """Create the empty file."""
        os.close(self.new(upload_id)[1])

    def new(self, upload_id: UUID) -> tuple[Path, int]:
        """Create the empty file; return its path, and a descriptor open for writing."""
        path = self._file(upload_id)
        with problems("the upload", storage=self.room.root):
            try:
                return path, os.open(path, _NEW, 0o600)
            except FileNotFoundError:  # the first upload of all
                self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
                return path, os.open(path, _NEW, 0o600)

    def size(self, upload_id: UUID) -> int:
        """Return the number of bytes received. Raises NotFound."""
        with problems("the upload"):
            return self._file(upload_id).stat().st_size

    def facts(self, upload_ids: Sequence[UUID]) -> dict[UUID, os.stat_result]:
        """Return the stat results of those that exist."""
        found: dict[UUID, os.stat_result] = {}
        for upload_id in upload_ids:
            with problems("the upload"), suppress(FileNotFoundError):
                found[upload_id] = self._file(upload_id).stat()
        return found

    def open(self, upload_id: UUID) -> Appender:
        """Open the upload for appending, locked against others (also other managers). Raises Locked, NotFound.

        Its SHA-256 is made while it is written.
        """
        with problems("the upload"):
            fd = os.open(self._file(upload_id), os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(fd)
            raise Locked("another request writes to this upload") from None
        facts = os.fstat(fd)
        if facts.st_nlink == 0:  # finished or removed between open and lock
            os.close(fd)
            raise NotFound("the upload does not exist")
        digest = self._digests.take(upload_id, facts.st_size)
        return Appender(fd, self._file(upload_id), self.room, digest, partial(self._digests.keep, upload_id))

    def remove(self, upload_id: UUID) -> None:
        """Delete what was received; nothing happens if it is gone."""
        with problems("the upload"):
            self._file(upload_id).unlink(missing_ok=True)

    @contextmanager
    def one_writer(self, folder_id: FolderId) -> Iterator[None]:
        """Hold the lock by which managers compare and replace files of the folder one at a time."""
        with problems("the folder", storage=self.room.root):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = self.path / f"lock-{folder_id.int % _LOCKS}"
            fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX)
            except BaseException:
                os.close(fd)
                raise
        try:
            yield
        finally:
            os.close(fd)

    def stale(self, *, older_than_s: float, limit: int) -> list[UUID]:
        """Return at most `limit` uploads without a write for `older_than_s`."""
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
        """Return whether the upload has a file."""
        return self._file(upload_id).exists()

    def _file(self, upload_id: UUID) -> Path:
        return self.path / str(upload_id)


class Digests:
    """Cache of running SHA-256 digests of uploads, so that a file need not be read again at its end. A miss costs only that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[UUID, tuple[int, hashlib._Hash]] = OrderedDict()

    def take(self, upload_id: UUID, size: int) -> hashlib._Hash | None:
        """Return the digest of the upload's first `size` bytes; None when it is not cached."""
        with self._lock:
            there, digest = self._kept.pop(upload_id, (0, None))
        if size == 0:
            return hashlib.sha256()
        return digest if there == size else None

    def keep(self, upload_id: UUID, size: int, digest: hashlib._Hash) -> None:
        """Cache it for the next part; the oldest one is evicted."""
        with self._lock:
            self._kept[upload_id] = size, digest
            self._kept.move_to_end(upload_id)
            while len(self._kept) > MAX_DIGESTS:
                self._kept.popitem(last=False)


class Appender:
    """An upload open for appending by one request. Close it always; close waits for a call that still runs in a thread.

    `digest`: digest of the present content, where known; `keep` is called with final size and digest.
    """

    def __init__(
        self,
        fd: int,
        path: Path,
        room: DiskReserve,
        digest: hashlib._Hash | None,
        keep: Callable[[int, hashlib._Hash], None],
    ) -> None:
        self._file = os.fdopen(fd, "ab", buffering=0)
        self._lock = threading.Lock()
        self._room = room
        self._digest = digest
        self._keep = keep
        self._unsynced = True
        self.path = path

    def close(self) -> None:
        """Sync to disk, unlock and close."""
        with self._lock, problems("the upload", storage=self._room.root), self._file:
            if not self._file.closed:
                self._flush()
                facts = os.fstat(self._file.fileno())
                if self._digest is not None and facts.st_size and self.path.exists():
                    self._keep(facts.st_size, self._digest)

    def size(self) -> int:
        """Return the number of bytes received."""
        with self._lock, problems("the upload"):
            return os.fstat(self._file.fileno()).st_size

    def write(self, chunk: bytes, *, what: str, left_bytes: int) -> None:
        """Append `chunk`.

        Raises InsufficientStorage when `left_bytes`, all that `what` still needs, do not fit, and NotFound when the
        upload was deleted: it is not counted any more, and would use disk for as long as it is open.
        """
        self._room.check(what, left_bytes)
        view = memoryview(chunk)
        with self._lock, problems(what, storage=self._room.root, needed_bytes=left_bytes):
            if os.fstat(self._file.fileno()).st_nlink == 0:
                raise NotFound("the upload does not exist any more")
            self._unsynced = True
            while view:
                written = self._file.write(view)
                if self._digest is not None:
                    self._digest.update(view[:written])
                view = view[written:]

    def sync(self) -> None:
        """Sync what was written to disk."""
        with self._lock, problems("the upload", storage=self._room.root):
            self._flush()

    def known_sha256(self) -> str | None:
        """Return the hexadecimal digest of the content, if it is known without reading it again."""
        return self._digest.hexdigest() if self._digest is not None else None

    def sha256(self) -> str:
        """Return the hexadecimal digest of the content; it is read again where another process wrote a part of it."""
        if self._digest is None:
            digest, size = hashlib.sha256(), 0
            with problems("the upload"), self.path.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
                    size += len(block)
            self._keep(size, digest)  # also for a sender who did not wait so long, and asks again
            self._digest = digest
        return self._digest.hexdigest()

    def _flush(self) -> None:
        if self._unsynced:
            os.fsync(self._file.fileno())
            self._unsynced = False
