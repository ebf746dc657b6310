"""Disk pressure: below the reserve of free space no replica is started, and what runs goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import structlog

from headrace.agent.metrics import DISK_FREE, ENGINE_DISK_FREE
from headrace.common.contracts.messages.reports import Disk
from headrace.common.runtime.disk import free_bytes, in_words, total_bytes

log = structlog.get_logger()
_STEP = 16 * 2**20
"""Free bytes are reported in steps of this, so that a report does not change with each line of a log."""


class DiskRoom:
    """The file systems of the agent's `folder` and of the container engine's data, of each of which `reserve_bytes` are kept free.

    `engine_root`: the engine's folder, where there is one on this machine. It is looked at where it lies on another file system.
    """

    def __init__(
        self, folder: Path, reserve_bytes: int, *, engine_root: Callable[[], Path | None] = lambda: None
    ) -> None:
        self._folder = folder
        self._reserve = reserve_bytes
        self._engine_root = engine_root
        self._short: set[Path] = set()
        self._unreadable: set[Path] = set()

    def look(self) -> Disk | None:
        """Return what there is now; None where the system does not say. Logs when it becomes short, and when it is not any more."""
        return self._look(self._folder, DISK_FREE.set)

    def look_at_engine(self) -> Disk | None:
        """Return the same of the container engine's data; None where it is on the same file system, or not on this machine."""
        root = self._engine_root()
        if root is None or self._is_same(root):
            return None
        return self._look(root, ENGINE_DISK_FREE.set)

    def shortage(self) -> str | None:
        """Return why no replica can be started, in words with numbers; None when there is room."""
        for whose, found in (("machine's disk", self.look()), ("container engine's disk", self.look_at_engine())):
            if found is not None and not found.has_room:
                return (
                    f"the {whose} has {in_words(found.free_bytes)} free of {in_words(found.total_bytes)}; "
                    f"to start a replica {in_words(found.reserve_bytes)} must be free (setting disk_reserve_bytes); it starts once they are"
                )
        return None

    def _is_same(self, root: Path) -> bool:
        try:
            return root.stat().st_dev == self._folder.stat().st_dev
        except OSError:
            return not root.exists()  # an agent in a container of its own does not see the engine's folder

    def _look(self, folder: Path, measure: Callable[[float], None]) -> Disk | None:
        try:
            free, total = free_bytes(folder), total_bytes(folder)
        except OSError as error:
            if folder not in self._unreadable:
                self._unreadable.add(folder)
                log.warning("disk_unreadable", folder=str(folder), error=error.strerror)
            return None
        self._unreadable.discard(folder)
        measure(free)
        short = free < self._reserve
        if short != (folder in self._short):
            self._short ^= {folder}
            say = log.warning if short else log.info
            say(
                "disk_low" if short else "disk_has_room",
                folder=str(folder),
                free_bytes=free,
                reserve_bytes=self._reserve,
            )
        shown = free if short else free - free % _STEP
        return Disk(free_bytes=shown, total_bytes=total, reserve_bytes=self._reserve)
