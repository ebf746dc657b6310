"""One file on its way into a folder: written beside the partial uploads, on the disk before it has a name."""

from __future__ import annotations

import hashlib
import os
from uuid import UUID

from headrace.manager.folders.errors import problems
from headrace.manager.folders.partials import Partials


class ArrivingFile:
    """A file that is not whole yet. What a manager that is killed leaves of it is removed like partial uploads are."""

    def __init__(self, partials: Partials, identifier: UUID) -> None:
        self._storage = partials.room.root
        self.path = partials.new(identifier)
        self.size = 0
        self.digest = hashlib.sha256()
        with problems("the upload"):
            self._fd = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    def write(self, part: bytes) -> None:
        """Add `part`. Raises InsufficientStorage."""
        self.digest.update(part)
        self.size += len(part)
        view = memoryview(part)
        with problems("the upload", storage=self._storage, needed_bytes=len(part)):
            while view:
                view = view[os.write(self._fd, view) :]

    def sync(self) -> None:
        """Return when the content is on the disk; nothing is written afterwards."""
        with problems("the upload", storage=self._storage):
            try:
                os.fsync(self._fd)
            finally:
                os.close(self._fd)
                self._fd = -1

    def forget(self) -> None:
        """Remove it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        with problems("the upload"):
            self.path.unlink(missing_ok=True)
