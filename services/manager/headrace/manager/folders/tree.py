"""File operations in one folder, confined to it.

Every component of a path is opened below the one before and never through a link, so that neither a path nor a link
that a kernel left in the folder leads out of it. All functions block: call them in a thread.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from headrace.common.contracts.problems import Conflict, NotFound
from headrace.common.runtime.removal import remove_tree
from headrace.manager.domain.records.folders import FileEntry
from headrace.manager.domain.storage_usage import StorageChange, StorageUsage
from headrace.manager.folders.arriving import FILE_MODE
from headrace.manager.folders.errors import problems
from headrace.manager.folders.file_identity import FileIdentity
from headrace.manager.folders.listing import MAX_DIRECTORY_ENTRIES, Listing, entry_of, moment, names_after, shown

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_DIRECTORY_MODE = 0o755
SMALL_BYTES: Final = 1024 * 1024
"""Size up to which a file is written by one request, and its entity tag is made of its content."""
Check = Callable[[str | None], None]
"""Called with the entity tag of the file that is to be replaced, None where there is none; raises to leave it as it is."""
_PLACES = tuple(threading.Lock() for _ in range(64))
"""Locks by hash of a path, held between stat and rename, so that a replaced file is subtracted from usage once."""


class Tree:
    """Files below `<root>/<folder id>`."""

    def __init__(self, root: Path, folder_id: object) -> None:
        self.path = root / str(folder_id)
        self._gained = StorageUsage()
        self._lost = StorageUsage()
        self._place = _PLACES[hash(self.path) % len(_PLACES)]
        self._made_in: set[tuple[str, ...]] = set()

    @property
    def change(self) -> StorageChange:
        """Usage change by calls of this object: bytes, and files and directories."""
        return StorageChange(self._gained, self._lost)

    @property
    def added(self) -> StorageUsage:
        """Net growth by calls of this object."""
        return self._gained - self._lost

    def create(self) -> None:
        """Create the empty folder; nothing happens if it exists."""
        with problems("the folder", storage=self.path.parent):
            self.path.mkdir(mode=_DIRECTORY_MODE, parents=True, exist_ok=True)

    def exists(self) -> bool:
        """Return whether the folder exists on the storage."""
        return self.path.is_dir()

    def remove(self) -> None:
        """Delete the folder with its content; nothing happens if it is gone."""
        with problems("the folder"):
            remove_tree(self.path)

    @contextmanager
    def directory(self, names: Sequence[str], *, make: bool = False) -> Iterator[int]:
        """Yield a descriptor of the directory at `names`; with `make`, missing ones are created. Raises NotFound, Conflict."""
        shown = "/".join(names) or "the folder"
        with problems(shown):
            fd = os.open(self.path, _DIRECTORY)
        try:
            for depth, name in enumerate(names):
                with problems(shown, storage=self.path.parent):
                    if make and _make(fd, name):
                        self._gained += StorageUsage(files=1)
                        self._made_in.add(tuple(names[:depth]))
                    below = os.open(name, _DIRECTORY, dir_fd=fd)
                os.close(fd)
                fd = below
            yield fd
        finally:
            os.close(fd)

    def open_file(self, names: Sequence[str]) -> OpenFile:
        """Open the regular file at `names` for reading. Raises NotFound, Conflict."""
        with self.directory(names[:-1]) as parent:
            return _opened(parent, names)

    def read(self, names: Sequence[str], *, limit: int) -> bytes | None:
        """Return at most `limit` + 1 bytes of the file; None when there is no such file."""
        try:
            file = self.open_file(names)
        except NotFound:
            return None
        try:
            return file.read_at(0, limit + 1)
        finally:
            file.close()

    def files(
        self, names: Sequence[str], *, recursive: bool, after: str, limit: int, everything: bool = False
    ) -> tuple[list[FileEntry], bool]:
        """Return the first `limit` entries at `names`, by path, after the path `after`, and whether there may be more.

        Links and special files are skipped, except with `everything`. Raises NotFound; Conflict for a directory with
        too many entries.
        """
        path = "/".join(names)
        with self.directory(names[:-1]) as parent, problems(path or "the folder"):
            facts = os.stat(names[-1], dir_fd=parent, follow_symlinks=False) if names else os.fstat(parent)
        if stat.S_ISREG(facts.st_mode) or (everything and not stat.S_ISDIR(facts.st_mode)):
            return ([entry_of(path, facts)] if path > after else []), False
        return Listing(self, recursive=recursive, everything=everything, after=after, limit=limit).page(tuple(names))

    def entry(self, names: Sequence[str]) -> FileEntry:
        """Return the entry at `names`. Raises NotFound."""
        shown = "/".join(names)
        with self.directory(names[:-1]) as parent, problems(shown):
            return entry_of(shown, os.stat(names[-1], dir_fd=parent, follow_symlinks=False))

    def entries(
        self, names: Sequence[str], *, after: str, limit: int, left_out: Callable[[str, str], None] = lambda *_: None
    ) -> list[tuple[str, bool]]:
        """Return the first `limit` names after the name `after` in the directory at `names`, and which are directories.

        Links, special files and names that are not UTF-8 are skipped; `left_out` is called with each and the reason on
        the first page. Raises NotFound; Conflict for a directory with too many entries.
        """
        where = "/".join(names) or "the folder"
        with self.directory(names) as fd, problems(where):
            return names_after(fd, after, limit=limit, where=where, left_out=left_out)

    def names(self) -> list[str]:
        """Return the names of the files that lie directly in the folder, sorted. Raises Conflict when they are too many."""
        found: list[str] = []
        with self.directory(()) as fd, os.scandir(fd) as entries:
            for count, entry in enumerate(entries):
                if count >= MAX_DIRECTORY_ENTRIES:
                    raise Conflict(
                        f"the folder: more than {MAX_DIRECTORY_ENTRIES} files in one directory cannot be listed"
                    )
                if entry.is_file(follow_symlinks=False):
                    found.append(shown(entry.name))
        return sorted(found)

    def delete(self, names: Sequence[str]) -> None:
        """Delete the file, or the directory with its content. Raises NotFound."""
        shown = "/".join(names)
        with self.directory(names[:-1]) as parent, problems(shown):
            with self._place:
                facts = os.stat(names[-1], dir_fd=parent, follow_symlinks=False)
                if not (directory := stat.S_ISDIR(facts.st_mode)):
                    os.unlink(names[-1], dir_fd=parent)
                    self._gone(facts)
            if directory:
                remove_tree(names[-1], dir_fd=parent, removed=self._gone)

    def check_free(self, names: Sequence[str]) -> None:
        """Raise Conflict when no file could be put at `names`: a directory is there, or a file or link is one of its parents."""
        shown = "/".join(names)
        with suppress(NotFound), self.directory(names[:-1]) as parent, problems(shown):
            if stat.S_ISDIR(os.stat(names[-1], dir_fd=parent, follow_symlinks=False).st_mode):
                raise Conflict(f"{shown} is a directory")

    def put(self, source: Path, names: Sequence[str], *, modified_ns: int | None = None) -> FileIdentity:
        """Move the finished file `source` to `names`, atomically: readers see the old file or the new one. Raises Conflict.

        Return its identity.

        Its name is synced to disk afterwards, as are those of directories that were created for it.
        """
        with problems("/".join(names), storage=self.path.parent):
            source.chmod(FILE_MODE)
            if modified_ns is not None:
                os.utime(source, ns=(modified_ns, modified_ns))
            identity = FileIdentity.of(source.stat())
        with self.directory(names[:-1], make=True) as parent:
            self.place(parent, source, names, identity.size)
            with problems("/".join(names), storage=self.path.parent):
                os.fsync(parent)
        self.sync_made()
        return identity

    def place(self, parent: int, source: Path, names: Sequence[str], size: int, *, check: Check | None = None) -> None:
        """Move the file `source` of `size` bytes into the directory open as `parent`, which is that of `names`.

        Raises Conflict, and what `check` raises of the file that is there.

        The name may be lost in a power failure until the directory is synced.
        """
        with problems("/".join(names), storage=self.path.parent):
            with self._place:
                before = facts_of(parent, names[-1])
                if check is not None:
                    check(None if before is None else _tag_at(parent, names))
                os.replace(source, names[-1], dst_dir_fd=parent)
            self._gained += StorageUsage(size, 1)
            if before is not None:
                self._gone(before)

    def made_in(self) -> set[tuple[str, ...]]:
        """Return the directories in which this object created others since the last call: their names are to be synced."""
        made, self._made_in = self._made_in, set()
        return made

    def sync_made(self) -> None:
        """Sync the names of the directories that this object created."""
        for above in self.made_in():
            with suppress(NotFound, Conflict):  # removed meanwhile
                self.sync(above)

    def _gone(self, facts: os.stat_result) -> None:
        self._lost += freed_by(facts)

    def sync(self, names: Sequence[str]) -> None:
        """Sync the names in a directory to disk. Raises NotFound, Conflict."""
        with self.directory(names) as fd, problems("/".join(names) or "the folder"):
            os.fsync(fd)


class OpenFile:
    """A file open for reading: its content stays the same when another file replaces it."""

    def __init__(self, fd: int) -> None:
        self._file = os.fdopen(fd, "rb", buffering=0)
        self._lock = threading.Lock()
        facts = os.fstat(fd)
        self.size_bytes = facts.st_size
        self.modified_at = moment(facts.st_mtime)
        self.modified_ns = facts.st_mtime_ns
        self._facts = facts

    def entity_tag(self) -> str:
        """Return the entity tag (HTTP ETag, without quotes), which differs for other content. Blocks.

        Of a small file it is made of the content, so that it stays when the file is moved or pinned by a revision.
        """
        if self.size_bytes <= SMALL_BYTES:
            return hashlib.sha256(self.read_at(0, SMALL_BYTES)).hexdigest()[:32]
        return f"{self._facts.st_ctime_ns:x}.{self.modified_ns:x}.{self.size_bytes:x}"

    def read_at(self, offset: int, size: int) -> bytes:
        """Return up to `size` bytes from `offset`; fewer only at the end."""
        parts = []
        with self._lock, problems("the file"):
            while size > 0 and (part := os.pread(self._file.fileno(), size, offset)):
                parts.append(part)
                offset += len(part)
                size -= len(part)
        return b"".join(parts)

    def facts(self) -> os.stat_result:
        """Return the stat of the open file."""
        with self._lock, problems("the file"):
            return os.fstat(self._file.fileno())

    def is_unchanged(self) -> bool:
        """Return whether the file was not written to since it was opened."""
        facts = self.facts()
        return (facts.st_size, facts.st_mtime_ns) == (self.size_bytes, self.modified_ns)

    def close(self) -> None:
        """Close the file, after a read that still runs in a thread."""
        with self._lock:
            self._file.close()


def _tag_at(parent: int, names: Sequence[str]) -> str:
    file = _opened(parent, names)
    try:
        return file.entity_tag()
    finally:
        file.close()


def _opened(parent: int, names: Sequence[str]) -> OpenFile:
    """Open the file at `names`, of which `parent` is the directory. Raises NotFound, Conflict."""
    shown = "/".join(names)
    with problems(shown):
        fd = os.open(names[-1], _FILE, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise Conflict(f"{shown} is not a file")
    return OpenFile(fd)


def held_by(facts: os.stat_result) -> StorageUsage:
    """Return the storage usage of one directory entry."""
    return StorageUsage(facts.st_size if stat.S_ISREG(facts.st_mode) else 0, 1)


def freed_by(facts: os.stat_result) -> StorageUsage:
    """Return the usage that ends with this name of a file: none while a snapshot has another name of it."""
    linked = stat.S_ISREG(facts.st_mode) and facts.st_nlink > 1
    return StorageUsage() if linked else held_by(facts)


def _make(fd: int, name: str) -> bool:
    """Create the directory; return whether it was missing."""
    try:
        os.mkdir(name, _DIRECTORY_MODE, dir_fd=fd)
    except FileExistsError:
        return False
    return True


def facts_of(fd: int, name: str) -> os.stat_result | None:
    """Return the stat result of an entry of the open directory, without following links; None when it is gone."""
    try:
        return os.stat(name, dir_fd=fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
