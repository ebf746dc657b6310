"""Paginated listing of a folder's files: by path, from a cursor on, with time and memory that do not grow with the folder."""

from __future__ import annotations

import heapq
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from typing import Final, Protocol

from headrace.common.contracts.manifest import MAX_DEPTH, MAX_NAME_BYTES
from headrace.common.contracts.problems import Conflict, NotFound
from headrace.common.contracts.vocabulary import FileKind
from headrace.manager.domain.records.folders import FileEntry

MAX_DIRECTORY_ENTRIES = 100_000
"""Bound on entries of a listed directory. Only those on the page are stat'ed."""
ENOUGH_ENTRIES = 200_000
"""Entries read over all directories, after which a non-empty page ends."""

_KINDS: Final[Mapping[int, FileKind]] = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
}
_FIRST_S = datetime.min.replace(tzinfo=UTC).timestamp()
_LAST_S = datetime.max.replace(tzinfo=UTC, microsecond=0).timestamp()


class Directories(Protocol):
    """Opener of directories by path."""

    def directory(self, names: Sequence[str]) -> AbstractContextManager[int]:
        """Yield a descriptor of the directory at `names`. Raises NotFound, Conflict."""


class Listing:
    """Walk that collects one page of a folder's files.

    A directory's content sorts right after its path followed by `/`, so that the order is that of whole paths, and a
    walk from the cursor on enters no directory whose content sorts before it.
    """

    def __init__(self, tree: Directories, *, recursive: bool, after: str, limit: int, everything: bool = False) -> None:
        self._tree = tree
        self._recursive = recursive
        self._everything = everything
        self._after = after
        self._limit = limit
        self._found: list[FileEntry] = []
        self._looked_at = 0

    def page(self, names: tuple[str, ...]) -> tuple[list[FileEntry], bool]:
        """Return the first entries of the directory at `names`, and whether there may be more. Raises NotFound, Conflict."""
        self._walk(names, self._first(names))
        return self._found, self._full()

    def _full(self) -> bool:
        return len(self._found) >= self._limit or (bool(self._found) and self._looked_at >= ENOUGH_ENTRIES)

    def _walk(self, names: tuple[str, ...], keys: Sequence[tuple[str, str]]) -> None:
        at = 0
        while at < len(keys) and not self._full():
            key, name = keys[at]
            if key.endswith("/"):
                at += 1
                self._enter((*names, name))
            else:  # no directory is held open while one below is walked
                at = self._show(names, keys, at)

    def _enter(self, names: tuple[str, ...]) -> None:
        try:
            keys = self._first(names)
        except NotFound:  # removed or replaced meanwhile
            return
        self._walk(names, keys)

    def _first(self, names: tuple[str, ...]) -> list[tuple[str, str]]:
        """Return the keys of a directory that the page may need: paths to list, and paths with `/` of directories to enter.

        Each directory to enter is one to list as well, except those in which the cursor lies or that sort before it: at
        most one for each length of a name.
        """
        with self._tree.directory(names) as fd:
            return heapq.nsmallest(2 * self._limit + MAX_NAME_BYTES + 1, self._keys(fd, names))

    def _keys(self, fd: int, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        above = "".join(f"{shown(name)}/" for name in names)
        below = self._recursive and len(names) < MAX_DEPTH  # no path leads further down
        with os.scandir(fd) as entries:
            for count, entry in enumerate(entries):
                self._looked_at += 1
                if count >= MAX_DIRECTORY_ENTRIES:
                    raise _too_many(above.removesuffix("/") or "the folder")
                path = above + shown(entry.name)
                directory = entry.is_dir(follow_symlinks=False)
                if path > self._after and (directory or self._everything or entry.is_file(follow_symlinks=False)):
                    yield path, entry.name
                inside = path + "/"
                if below and directory and (inside > self._after or self._after.startswith(inside)):
                    yield inside, entry.name

    def _show(self, names: tuple[str, ...], keys: Sequence[tuple[str, str]], at: int) -> int:
        try:
            with self._tree.directory(names) as fd:
                while at < len(keys) and not keys[at][0].endswith("/") and not self._full():
                    path, name = keys[at]
                    at += 1
                    with suppress(FileNotFoundError):
                        facts = os.stat(name, dir_fd=fd, follow_symlinks=False)
                        if self._everything or stat.S_ISDIR(facts.st_mode) or stat.S_ISREG(facts.st_mode):
                            self._found.append(entry_of(path, facts))
        except (NotFound, Conflict):
            return len(keys)
        return at


def names_after(
    fd: int, after: str, *, limit: int, where: str, left_out: Callable[[str, str], None] = lambda *_: None
) -> list[tuple[str, bool]]:
    """Return the first `limit` names after `after` in a directory, sorted, and which of them are directories.

    Links, special files and names that are not UTF-8 are skipped; `left_out` is called with each and the reason when
    `after` is empty: the first page reads all of the directory. Raises Conflict for a directory with too many entries.
    """
    tell = (lambda *_: None) if after else left_out

    def found() -> Iterator[tuple[str, bool]]:
        with os.scandir(fd) as entries:
            for count, entry in enumerate(entries):
                if count >= MAX_DIRECTORY_ENTRIES:
                    raise _too_many(where)
                directory = entry.is_dir(follow_symlinks=False)
                if shown(entry.name) != entry.name:
                    tell(shown(entry.name), "a name that is not UTF-8")
                elif not directory and not entry.is_file(follow_symlinks=False):
                    tell(entry.name, "a link" if entry.is_symlink() else "a special file")
                elif entry.name > after:
                    yield entry.name, directory

    return heapq.nsmallest(limit, found())


def _too_many(where: str) -> Conflict:
    return Conflict(f"{where}: more than {MAX_DIRECTORY_ENTRIES} files in one directory cannot be listed")


def shown(name: str) -> str:
    """Return the name as text for callers, also when its bytes are not UTF-8."""
    return os.fsencode(name).decode(errors="replace")


def moment(seconds: float) -> datetime:
    """Return a modification time; one outside the range of datetime, which storages also keep, as the nearest in it."""
    return datetime.fromtimestamp(min(max(seconds, _FIRST_S), _LAST_S), tz=UTC)


def entry_of(path: str, facts: os.stat_result) -> FileEntry:
    """Return the FileEntry of a path."""
    kind: FileKind = _KINDS.get(stat.S_IFMT(facts.st_mode), "special")
    size = facts.st_size if kind == "file" else 0
    return FileEntry(path=path, kind=kind, size_bytes=size, modified_at=moment(facts.st_mtime))
