"""Objects of the folder cache on disk: contents, each under its digest. All functions block.

An object has a fixed modification time and no permission to write, which every write to it changes: so it is recognised as
unchanged by size, mode and time, without reading it. What may have been lost with the machine's power is read again.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from headrace.agent.domain.snapshot_content import EXECUTABLE_SUFFIX

MODIFIED_NS: Final = 315_532_800 * 10**9
"""Modification time of all objects: 1980-01-01, as archives use it that are to be reproducible."""
_NAME: Final = re.compile(r"^[0-9a-f]{64}(-x)?$")
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Objects:
    """Objects below `<root>/sha256`, by the first two digits of their digest."""

    def __init__(self, root: Path) -> None:
        self._root = root / "sha256"

    def path(self, name: str) -> Path:
        """Return where the object is, or would be."""
        return self._root / name[:2] / name

    def sizes(self) -> dict[str, int]:
        """Return the size of every object. What else lies there is removed: a killed process left it."""
        self._root.mkdir(mode=0o755, exist_ok=True)
        return dict(self._scan())

    def _scan(self) -> Iterator[tuple[str, int]]:
        for shelf in os.scandir(self._root):
            if not shelf.is_dir(follow_symlinks=False):
                continue
            for entry in os.scandir(shelf.path):
                if _NAME.match(entry.name) and entry.is_file(follow_symlinks=False):
                    yield entry.name, entry.stat(follow_symlinks=False).st_size
                elif not entry.is_dir(follow_symlinks=False):
                    Path(entry.path).unlink()

    def admit(self, name: str, source: Path) -> Path:
        """Move a file, whose content was verified, to its place. It replaces what is there. Raises OSError."""
        source.chmod(_mode(name))
        os.utime(source, ns=(MODIFIED_NS, MODIFIED_NS))
        path = self.path(name)
        path.parent.mkdir(mode=0o755, exist_ok=True)
        return source.replace(path)

    def remove(self, name: str) -> None:
        """Remove an object; nothing happens if it is gone."""
        self.path(name).unlink(missing_ok=True)

    def is_whole(self, name: str, size: int, *, read: bool) -> bool:
        """Return whether the object is there and unchanged; with `read` by its digest, else by what is cheap to see."""
        path = self.path(name)
        if unchanged(path, name, size):
            return not read or digest_of(path) == name[:64]
        with suppress(OSError):
            facts = path.lstat()
            if stat.S_ISREG(facts.st_mode) and facts.st_size == size and digest_of(path) == name[:64]:
                self.admit(name, path)  # somebody touched it, and changed nothing
                return True
        return False


def _mode(name: str) -> int:
    return 0o555 if name.endswith(EXECUTABLE_SUFFIX) else 0o444


def unchanged(path: str | Path, name: str, size: int) -> bool:
    """Return whether this is the object `name`, or a link to it, and nobody wrote to it since the cache made it."""
    try:
        facts = os.lstat(path)
    except OSError:
        return False
    return (facts.st_mode, facts.st_size, facts.st_mtime_ns) == (stat.S_IFREG | _mode(name), size, MODIFIED_NS)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal. Raises OSError."""
    with os.fdopen(os.open(path, _OPEN), "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
