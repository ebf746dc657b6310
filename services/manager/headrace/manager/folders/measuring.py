"""Disk usage walk of one folder and its snapshots, in steps of bounded time. Blocks.

It finds what accounting missed: files written by containers, and changes lost in a crash. Memory grows with depth, and
by one number for each file that a snapshot has too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import chain, islice
from threading import Lock

from headrace.common.contracts.manifest import MAX_DEPTH
from headrace.common.contracts.problems import NotFound
from headrace.manager.domain.storage_usage import StorageUsage
from headrace.manager.folders.tree import Tree, held_by

STEP_ENTRIES = 5000


class UsageWalk:
    """Disk usage walk of one folder, and of `snapshots` of it. Links are counted and not followed; entries deeper than a path
    can be are skipped. A file with several names, in the folder and in snapshots, counts once.
    """

    def __init__(self, tree: Tree, snapshots: Sequence[Tree] = ()) -> None:
        self._tree = tree
        self._snapshots = snapshots
        self._counted = set[int]()
        """Inodes of the files with several names."""
        self._open = ExitStack()
        self._entries: Iterator[StorageUsage] | None = None
        self._lock = Lock()
        self.found = StorageUsage()

    def step(self) -> bool:
        """Visit some entries; return whether there may be more. Raises NotFound, Conflict when the folder is gone."""
        with self._lock:
            if self._entries is None:
                top = self._open.enter_context(self._tree.directory(()))
                self._entries = chain(self._usage(self._below(top, 0)), self._of_snapshots())
            some = tuple(islice(self._entries, STEP_ENTRIES))
            for amount in some:
                self.found += amount
            return len(some) == STEP_ENTRIES

    def close(self) -> None:
        """Close the open directories, once a step that still runs in a thread has ended."""
        with self._lock:
            self._entries = iter(())  # a step that comes after it opens nothing
            self._open.close()

    def _usage(self, entries: Iterator[os.stat_result]) -> Iterator[StorageUsage]:
        for facts in entries:
            if stat.S_ISREG(facts.st_mode) and facts.st_nlink > 1:
                self._counted.add(facts.st_ino)
            yield held_by(facts)

    def _of_snapshots(self) -> Iterator[StorageUsage]:
        """Yield what only snapshots still have; their directories do not count."""
        for snapshot in self._snapshots:
            with suppress(NotFound), snapshot.directory(()) as top:  # removed meanwhile
                for facts in self._below(top, 0):
                    counts = stat.S_ISREG(facts.st_mode) and facts.st_ino not in self._counted
                    if counts and facts.st_nlink > 1:
                        self._counted.add(facts.st_ino)
                    yield held_by(facts) if counts else StorageUsage()

    def _below(self, fd: int, depth: int) -> Iterator[os.stat_result]:
        with os.scandir(fd) as entries:
            for entry in entries:
                with suppress(OSError):  # gone meanwhile
                    yield entry.stat(follow_symlinks=False)
                    if depth < MAX_DEPTH and entry.is_dir(follow_symlinks=False):
                        yield from self._inside(fd, entry.name, depth)

    def _inside(self, fd: int, name: str, depth: int) -> Iterator[os.stat_result]:
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        try:
            yield from self._below(below, depth + 1)
        finally:
            os.close(below)
