"""Disk usage walk of one folder, in steps of bounded time and with memory by depth only. Blocks.

It finds what accounting missed: files written by containers, and changes lost in a crash.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from itertools import islice
from threading import Lock

from headrace.manager.domain.paths import MAX_DEPTH
from headrace.manager.domain.storage_usage import StorageUsage
from headrace.manager.folders.tree import Tree, held_by

STEP_ENTRIES = 5000


class UsageWalk:
    """Disk usage walk of one folder. Links are counted and not followed; entries deeper than a path can be are skipped."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._open = ExitStack()
        self._entries: Iterator[StorageUsage] | None = None
        self._lock = Lock()
        self.found = StorageUsage()

    def step(self) -> bool:
        """Visit some entries; return whether there may be more. Raises NotFound, Conflict when the folder is gone."""
        with self._lock:
            if self._entries is None:
                top = self._open.enter_context(self._tree.directory(()))
                self._entries = self._below(top, 0)
            some = tuple(islice(self._entries, STEP_ENTRIES))
            for amount in some:
                self.found += amount
            return len(some) == STEP_ENTRIES

    def close(self) -> None:
        """Close the open directories, once a step that still runs in a thread has ended."""
        with self._lock:
            self._entries = iter(())  # a step that comes after it opens nothing
            self._open.close()

    def _below(self, fd: int, depth: int) -> Iterator[StorageUsage]:
        with os.scandir(fd) as entries:
            for entry in entries:
                with suppress(OSError):  # gone meanwhile
                    yield held_by(entry.stat(follow_symlinks=False))
                    if depth < MAX_DEPTH and entry.is_dir(follow_symlinks=False):
                        yield from self._inside(fd, entry.name, depth)

    def _inside(self, fd: int, name: str, depth: int) -> Iterator[StorageUsage]:
        below = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        try:
            yield from self._below(below, depth + 1)
        finally:
            os.close(below)
