"""Scan of a model folder: the files that a snapshot of it has, with what tells a changed file from an unchanged one.

All functions block: call them in a thread.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from headrace.common.contracts.manifest import MAX_DEPTH, MAX_MANIFEST_ENTRIES, MAX_PATH_BYTES
from headrace.common.contracts.problems import Conflict
from headrace.manager.folders.file_identity import FileIdentity
from headrace.manager.folders.tree import Tree

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LINKS_IN_A_ROW: Final = 8


class ScannedFile(NamedTuple):
    """A regular file. `source`: where it lies; another path only for what a link inside the folder leads to."""

    path: str
    source: str
    identity: FileIdentity
    executable: bool
    names: int = 1
    """Number of hard links to it."""


@dataclass
class Scan:
    """Content of a folder. Both sorted by path."""

    files: list[ScannedFile] = field(default_factory=list)
    empty_directories: list[str] = field(default_factory=list)
    left_out: int = 0
    """Special files, links that lead to no file of the folder, names that are not UTF-8, and paths that are too long."""


def scan(tree: Tree) -> Scan:
    """Scan the folder. A link to a file of the folder counts as that file.

    Raises NotFound; Conflict when it has too many files to be pinned.
    """
    found, links = Scan(), dict[str, str]()
    with tree.directory(()) as top:
        _walk(top, "", found, links, depth=1)
    _follow(found, links)
    found.files.sort()
    found.empty_directories.sort()
    return found


def _walk(fd: int, above: str, found: Scan, links: dict[str, str], *, depth: int) -> bool:
    """Add what is below the open directory; return whether there is something."""
    something = False
    for name, facts in _entries(fd):
        path = above + name
        if not _is_presentable(path):
            found.left_out += 1
            continue
        something = True
        if stat.S_ISREG(facts.st_mode):
            found.files.append(
                ScannedFile(path, path, FileIdentity.of(facts), bool(facts.st_mode & stat.S_IXUSR), facts.st_nlink)
            )
        elif stat.S_ISDIR(facts.st_mode) and depth < MAX_DEPTH:
            with suppress(FileNotFoundError, NotADirectoryError):  # gone meanwhile
                below = os.open(name, _DIRECTORY, dir_fd=fd)
                try:
                    if not _walk(below, f"{path}/", found, links, depth=depth + 1):
                        found.empty_directories.append(path)
                finally:
                    os.close(below)
        elif stat.S_ISLNK(facts.st_mode):
            with suppress(OSError):
                links[path] = posixpath.normpath(posixpath.join(posixpath.dirname(path), os.readlink(name, dir_fd=fd)))
        else:
            found.left_out += 1
        if len(found.files) + len(found.empty_directories) + len(links) > MAX_MANIFEST_ENTRIES:
            raise _too_many()
    return something


def _entries(fd: int) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(fd) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # gone meanwhile
                yield entry.name, entry.stat(follow_symlinks=False)


def _is_presentable(path: str) -> bool:
    try:
        return len(path.encode()) <= MAX_PATH_BYTES
    except UnicodeEncodeError:  # bytes that are not UTF-8
        return False


def _follow(found: Scan, links: dict[str, str]) -> None:
    """Add each link that leads to a file of the folder, as that file. Paths are compared, nothing is opened."""
    if not links:
        return
    files = {file.path: file for file in found.files}
    for path in links:
        target = path
        for _ in range(_LINKS_IN_A_ROW):
            target = links.get(target, target)
        if (file := files.get(target)) is not None:
            found.files.append(file._replace(path=path))
        else:
            found.left_out += 1


def _too_many() -> Conflict:
    allowed = f"at most {MAX_MANIFEST_ENTRIES}"
    text = f"the folder has more than {MAX_MANIFEST_ENTRIES} files and directories; a revision can pin {allowed}"
    return Conflict(text, field="folder", found=f"more than {MAX_MANIFEST_ENTRIES}", allowed=allowed)
