"""Model folders in a backup: everything below `folders_root` but incomplete uploads and imports, with hard and symbolic links as they are.

No link is ever followed, on either way: each directory is opened below the one before. All functions block.
"""

from __future__ import annotations

import os
import re
import stat
import tarfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from headrace.backup.archive import BLOCK, FOLDERS, Writer
from headrace.backup.errors import BackupError
from headrace.common.contracts.manifest import DIGESTS, SNAPSHOTS
from headrace.common.runtime.files import open_below

STAGING: Final = ".restoring"
"""Folder below `folders_root` in which a restore gathers files until all are there."""
_DIGESTS: Final = re.compile(rf"{FOLDERS}{re.escape(SNAPSHOTS)}/[^/]+/{DIGESTS}")
"""A cache by inode: in another place it would name the content of other files."""
NOT_KEPT: Final = frozenset({".uploads", ".imports", STAGING})
MAX_DEPTH: Final = 200
"""Levels of directories; what lies deeper is left out and counted."""
MAX_LINKS: Final = 500_000
"""Files with several names that are remembered until all of these have come; of more, some are stored more than once."""
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass
class Packed:
    """What was written of the folders."""

    files: int = 0
    bytes: int = 0
    left_out: int = 0
    changed: int = 0


class TreeWriter:
    """Writes what lies below a root into a backup."""

    def __init__(self, writer: Writer) -> None:
        self.packed = Packed()
        self._writer = writer
        self._links: OrderedDict[tuple[int, int], tuple[str, int]] = OrderedDict()
        """Device and inode of a file with several names → its name in the backup, and how many more are to come."""

    def write(self, root: Path) -> None:
        """Write all that lies below `root`. What vanishes meanwhile is left out; nothing happens without a root."""
        try:
            fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError:
            return
        try:
            self._directory(fd, FOLDERS, 0)
        finally:
            os.close(fd)

    def _directory(self, fd: int, prefix: str, depth: int) -> None:
        with os.scandir(fd) as entries:
            for entry in entries:
                if (depth or entry.name not in NOT_KEPT) and not _DIGESTS.fullmatch(prefix + entry.name):
                    with suppress(FileNotFoundError):
                        self._entry(fd, entry.name, prefix + entry.name, depth)

    def _entry(self, parent: int, name: str, path: str, depth: int) -> None:
        facts = os.stat(name, dir_fd=parent, follow_symlinks=False)
        info = _info(path, facts)
        if stat.S_ISDIR(facts.st_mode) and depth < MAX_DEPTH:
            fd = os.open(name, _DIRECTORY, dir_fd=parent)
            try:
                info.type = tarfile.DIRTYPE
                self._writer.entry(info)
                self._directory(fd, f"{path}/", depth + 1)
            finally:
                os.close(fd)
        elif stat.S_ISLNK(facts.st_mode):
            info.type, info.linkname = tarfile.SYMTYPE, os.readlink(name, dir_fd=parent)
            self._writer.entry(info)
        elif not stat.S_ISREG(facts.st_mode):
            self.packed.left_out += 1
        elif (first := self._other_name(path, facts)) is not None:
            info.type, info.linkname = tarfile.LNKTYPE, first
            self._writer.entry(info)
        else:
            self._file(parent, name, path)

    def _file(self, parent: int, name: str, path: str) -> None:
        fd = os.open(name, _FILE, dir_fd=parent)
        with os.fdopen(fd, "rb", buffering=0) as file:
            before = os.fstat(fd)
            info = _info(path, before)
            info.size = before.st_size
            self._writer.header(info)
            left = info.size
            while left and (block := file.read(min(BLOCK, left))):
                self._writer.raw(block)
                left -= len(block)
            after = os.fstat(fd)
        for at in range(0, left, BLOCK):  # it was cut while it was read
            self._writer.raw(bytes(min(BLOCK, left - at)))
        self._writer.padding(info.size)
        self.packed.changed += (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns)
        self.packed.files += 1
        self.packed.bytes += info.size

    def _other_name(self, path: str, facts: os.stat_result) -> str | None:
        """Return the name under which the same file was written; None if it was not, and then remember this one."""
        if facts.st_nlink == 1:
            return None
        key = facts.st_dev, facts.st_ino
        known = self._links.pop(key, None)
        name, left = known if known is not None else (path, facts.st_nlink)
        if left > 1:
            self._links[key] = name, left - 1
        if len(self._links) > MAX_LINKS:
            self._links.popitem(last=False)
        return None if known is None else name


class TreeReader:
    """Puts files of a backup below a folder that it alone writes to; they belong to `owner` if this process may give them."""

    def __init__(self, top: Path, owner: tuple[int, int]) -> None:
        self._top = top
        self._fd = os.open(top, _DIRECTORY)
        self._owner = owner if os.geteuid() == 0 else None
        self._at: tuple[tuple[str, ...], int] | None = None
        """The directory in which the last entry was put: its names, and a descriptor of it."""

    def close(self) -> None:
        """Close it."""
        self._forget()
        os.close(self._fd)

    def put(self, info: tarfile.TarInfo, content: IO[bytes] | None) -> None:
        """Put one entry. Raises BackupError for a path that leads elsewhere, and OSError."""
        *above, name = _names(info.name)
        parent = self._directory(tuple(above))
        if info.isdir():
            os.mkdir(name, 0o700, dir_fd=parent)
            self._own(parent, name)
            os.chmod(name, info.mode & 0o777 | 0o700, dir_fd=parent)
        elif info.issym():
            os.symlink(info.linkname, name, dir_fd=parent)
            self._own(parent, name)
        elif info.islnk():
            self._link(info, parent, name)
        elif content is not None:
            self._file(info, content, parent, name)
        else:
            raise BackupError(f"{info.name} is no file, directory or link; allowed: these")

    def _file(self, info: tarfile.TarInfo, content: IO[bytes], parent: int, name: str) -> None:
        with os.fdopen(os.open(name, _NEW, 0o600, dir_fd=parent), "wb", buffering=0) as file:
            while block := content.read(BLOCK):
                view = memoryview(block)
                while view:
                    view = view[file.write(view) :]
            if self._owner is not None:
                os.fchown(file.fileno(), *self._owner)
            os.fchmod(file.fileno(), info.mode & 0o777)
            moment = _moment(info)
            os.utime(file.fileno(), ns=(moment, moment))

    def _link(self, info: tarfile.TarInfo, parent: int, name: str) -> None:
        *above, first = _names(info.linkname)
        source = open_below(self._fd, above)
        try:
            os.link(first, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _own(self, parent: int, name: str) -> None:
        if self._owner is not None:
            os.chown(name, *self._owner, dir_fd=parent, follow_symlinks=False)

    def _directory(self, names: tuple[str, ...]) -> int:
        if self._at is None or self._at[0] != names:
            self._forget()
            self._at = names, open_below(self._fd, names)
        return self._at[1]

    def _forget(self) -> None:
        if self._at is not None:
            os.close(self._at[1])
            self._at = None


def _names(path: str) -> tuple[str, ...]:
    names = tuple(path.removeprefix(FOLDERS).split("/"))
    if not path.startswith(FOLDERS) or any(name in {"", ".", ".."} or "\0" in name for name in names):
        raise BackupError(f"the backup has an entry {path!a}; allowed: paths below {FOLDERS}")
    if len(names) == 1 and names[0] in NOT_KEPT:
        raise BackupError(f"the backup has an entry {path!a}, which is not kept; allowed: others")
    return names


def _info(path: str, facts: os.stat_result) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.mode = facts.st_mode & 0o777
    info.pax_headers = {"mtime": f"{facts.st_mtime_ns // 10**9}.{facts.st_mtime_ns % 10**9:09}"}
    return info


def _moment(info: tarfile.TarInfo) -> int:
    """Return the modification time in nanoseconds; the library keeps it as a float, which is too coarse."""
    whole, _, part = info.pax_headers.get("mtime", f"{int(info.mtime)}").partition(".")
    try:
        return int(whole) * 10**9 + int(part[:9].ljust(9, "0") or 0)
    except ValueError:
        return 0


def top_names(root: Path) -> Iterator[str]:
    """Yield the names below `root` that a backup would keep."""
    with suppress(FileNotFoundError), os.scandir(root) as entries:
        yield from (entry.name for entry in entries if entry.name not in NOT_KEPT)
