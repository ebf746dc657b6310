"""Small file system that a test can fill."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_AS_ROOT = () if os.geteuid() == 0 else ("sudo", "-n")


class SmallDisk:
    """Small file system mounted at `path`, writable by everybody."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    @property
    def free(self) -> int:
        """Number of free bytes."""
        found = os.statvfs(self.path)
        return found.f_bavail * found.f_frsize

    def fill(self, *, but: int = 0) -> None:
        """Fill it, to the last byte or to about `but` bytes; repeat to fill what was freed meanwhile."""
        with self._filler.open("ab", buffering=0) as file:
            for size in (2**20, 4096, 1):
                while self.free >= but + size or (but == 0 and size == 1):
                    try:
                        if file.write(bytes(size)) < size:
                            break
                    except OSError:
                        break

    def empty(self) -> None:
        """Free the space again."""
        self._filler.unlink(missing_ok=True)


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mount a tmpfs at `path` (created) until the end; as root, or by sudo without a password."""
    path.mkdir()
    options = f"size={megabytes}m,mode=0755,uid={os.geteuid()},gid={os.getegid()}"
    subprocess.run([*_AS_ROOT, "mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True, timeout=20)
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run([*_AS_ROOT, "umount", "--lazy", path], check=True, timeout=20)
