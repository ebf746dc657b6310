"""Known digests of files: the SHA-256 of each file of a folder, so that an unchanged one is never hashed twice.

A file per folder that is only appended to, by any number of managers, and written anew when most of its lines are of
files that are gone. It is a cache: what is lost or torn is hashed again. All functions block: call them in a thread.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from headrace.common.contracts.manifest import DIGESTS, SNAPSHOTS
from headrace.common.runtime.files import write_atomically
from headrace.manager.folders.file_identity import FileIdentity

MAX_REMEMBERED: Final = 200_000
"""Bound on digests in memory, over all folders; the folders used longest ago are read again."""
MAX_LOG_BYTES: Final = 64 * 2**20
"""A folder's file of digests that grew beyond this starts anew."""
MAX_FOLDERS: Final = 10_000
"""Bound on the folders in memory, also those of few files."""
_SPARE_LINES: Final = 1000
_DIGEST_LENGTH: Final = 64


@dataclass
class _Folder:
    """What was read of one folder's file: `read_bytes` of the file with this inode."""

    digests: dict[FileIdentity, str] = field(default_factory=dict)
    inode: int = 0
    read_bytes: int = 0
    lines: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


class KnownDigests:
    """Digests of the files of all folders below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root / SNAPSHOTS
        self._folders: OrderedDict[str, _Folder] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, folder_id: object, digests: Iterable[tuple[FileIdentity, str]]) -> None:
        """Remember these digests. On a full or broken disk they are not: the files are hashed again."""
        lines = b"".join(_line(identity, sha256) for identity, sha256 in digests)
        if not lines:
            return
        with suppress(OSError):
            fd = self._open(self._path(folder_id))
            try:
                if os.fstat(fd).st_size > MAX_LOG_BYTES:
                    os.ftruncate(fd, 0)
                os.write(fd, lines)  # one call, so that the lines of several managers are not mixed
            finally:
                os.close(fd)

    def of(self, folder_id: object) -> Mapping[FileIdentity, str]:
        """Return the known digests of a folder's files. Raises OSError."""
        folder = self._folder(str(folder_id))
        with folder.lock:
            self._read_on(folder, self._path(folder_id))
        return folder.digests

    def keep(self, folder_id: object, live: Iterable[FileIdentity]) -> None:
        """Write the file anew with the digests of the files `live` alone, if most of it is of others."""
        folder = self._folder(str(folder_id))
        with folder.lock, suppress(OSError):
            wanted = set(live)
            if folder.lines <= 2 * len(wanted) + _SPARE_LINES:
                return
            kept = {identity: sha256 for identity, sha256 in folder.digests.items() if identity in wanted}
            write_atomically(self._path(folder_id), b"".join(_line(*one) for one in kept.items()), durable=False)

    def forget(self, folder_id: object) -> None:
        """Forget what is in memory of a deleted folder."""
        with self._lock:
            self._folders.pop(str(folder_id), None)

    def _path(self, folder_id: object) -> Path:
        return self._root / str(folder_id) / DIGESTS

    def _folder(self, key: str) -> _Folder:
        with self._lock:
            folder = self._folders.setdefault(key, _Folder())
            self._folders.move_to_end(key)
            held = sum(len(one.digests) for one in self._folders.values()) if len(self._folders) > 1 else 0
            while (held > MAX_REMEMBERED or len(self._folders) > MAX_FOLDERS) and len(self._folders) > 1:
                held -= len(self._folders.popitem(last=False)[1].digests)
            return folder

    @staticmethod
    def _open(path: Path) -> int:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return os.open(path, flags, 0o600)
        except FileNotFoundError:  # the first file of the folder
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            return os.open(path, flags, 0o600)

    @staticmethod
    def _read_on(folder: _Folder, path: Path) -> None:
        """Read what was appended since the last call; all of it where the file is another one."""
        try:
            facts = path.stat()
        except FileNotFoundError:
            folder.digests, folder.inode, folder.read_bytes, folder.lines = {}, 0, 0, 0
            return
        if facts.st_ino != folder.inode or facts.st_size < folder.read_bytes:
            folder.digests, folder.inode, folder.read_bytes, folder.lines = {}, facts.st_ino, 0, 0
        if facts.st_size == folder.read_bytes:
            return
        with path.open("rb") as file:
            file.seek(folder.read_bytes)
            whole, end, _ = file.read(facts.st_size - folder.read_bytes).rpartition(b"\n")
        if not end:  # the rest of the line may still come
            return
        added = dict(folder.digests)  # a reader may hold the former one
        for line in whole.split(b"\n"):
            if (one := _parse(line)) is not None:
                added[one[0]] = one[1]
            folder.lines += 1
        folder.digests = added
        folder.read_bytes += len(whole) + 1


def _line(identity: FileIdentity, sha256: str) -> bytes:
    text = f"{identity.inode} {identity.size} {identity.modified_ns} {sha256}".encode()
    return b"%s %08x\n" % (text, zlib.crc32(text))


def _parse(line: bytes) -> tuple[FileIdentity, str] | None:
    """Return the entry of one line; None for a torn one."""
    text, _, checksum = line.rpartition(b" ")
    if checksum != b"%08x" % zlib.crc32(text):
        return None
    inode, size, modified_ns, sha256 = text.decode().split(" ")
    return FileIdentity(int(inode), int(size), int(modified_ns)), sha256
