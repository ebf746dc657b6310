"""Detection of a full disk: that a server's write failed, and that there is room again."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from headrace.common.runtime.disk import free_bytes, in_words

FULL_BYTES = 2**20
"""With less free space a write may have failed without a line in the log, which is on the same disk."""
ROOM_BYTES = 16 * 2**20
"""With so much free space a restart of the server can help."""
_MAX_READ = 256 * 1024
_WORDS = b"no space left on device"


class FullDisk:
    """Detects that a server's write failed on a full disk, from its `log`, and that there is room again under `folder`."""

    def __init__(self, folder: Path, log: Path) -> None:
        self._folder, self._log = folder, log
        self._read_to = 0
        self._failed = False

    def recovered(self) -> str | None:
        """Return why the server must be restarted: a write failed, and there is room now. None otherwise.

        Returned once per failure. Never raises.
        """
        with suppress(OSError):
            free = free_bytes(self._folder)
            self._failed = self._log_tells() or self._failed or free < FULL_BYTES
            if self._failed and free >= ROOM_BYTES:
                self._failed = False
                return f"its disk was full, and now {in_words(free)} are free"
        return None

    def _log_tells(self) -> bool:
        """Return True if the new part of the log names a full disk."""
        size = self._log.stat().st_size
        start = max(self._read_to, size - _MAX_READ) if size >= self._read_to else 0  # it was truncated meanwhile
        with self._log.open("rb") as file:
            file.seek(start)
            added = file.read(_MAX_READ)
        self._read_to = start + len(added)
        return _WORDS in added.lower()
