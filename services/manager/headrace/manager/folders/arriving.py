"""Temporary file of an archive's entry: written beside the incomplete uploads, and synced before it gets its name."""

from __future__ import annotations

import hashlib
import os
from typing import Final
from uuid import UUID

from headrace.manager.folders.errors import problems
from headrace.manager.folders.file_identity import FileIdentity
from headrace.manager.folders.partials import Partials

FILE_MODE: Final = 0o644


class IncomingFile:
    """Temporary file of one entry. One that a killed manager leaves behind is removed like an incomplete upload."""

    def __init__(self, partials: Partials, identifier: UUID) -> None:
        self._storage = partials.room.root
        self.path, self._fd = partials.new(identifier)
        self.size = 0
        self.digest = hashlib.sha256()
        self.identity: FileIdentity | None = None
        """Set by sync()."""

    def write(self, part: bytes) -> None:
        """Append `part`. Raises InsufficientStorage."""
        self.digest.update(part)
        self.size += len(part)
        view = memoryview(part)
        with problems("the upload", storage=self._storage, needed_bytes=len(part)):
            while view:
                view = view[os.write(self._fd, view) :]

    def sync(self, modified_ns: int | None = None) -> None:
        """Sync content, mode and modification time to disk; nothing may be written afterwards."""
        with problems("the upload", storage=self._storage):
            try:
                os.fchmod(self._fd, FILE_MODE)
                if modified_ns is not None:
                    os.utime(self._fd, ns=(modified_ns, modified_ns))
                os.fsync(self._fd)
                self.identity = FileIdentity.of(os.fstat(self._fd))
            finally:
                os.close(self._fd)
                self._fd = -1

    def forget(self) -> None:
        """Delete it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        with problems("the upload"):
            self.path.unlink(missing_ok=True)
