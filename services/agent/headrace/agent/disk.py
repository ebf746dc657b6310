"""Disk pressure: below the reserve of free space no replica is started; running ones are not affected."""

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


class DiskMonitor:
    """Free space of the file systems of `folder` and of the container engine's data; `reserve_bytes` of each are kept free.

    `engine_root`: the engine's data folder, where it is on this machine. It is checked when it lies on another file
    system.
    """

    def __init__(
        self, folder: Path, reserve_bytes: int, *, engine_root: Callable[[], Path | None] = lambda: None
    ) -> None:
        self._folder = folder
        self._reserve = reserve_bytes
        self._engine_root = engine_root
        self._short: set[Path] = set()
        self._unreadable: set[Path] = set()

    def measure(self) -> Disk | None:
        """Return size and free space of the agent's file system; None where the system does not say.

        Logs when pressure begins and ends.
        """
        return self._measure(self._folder, DISK_FREE.set)

    def measure_engine(self) -> Disk | None:
        """Return the same of the engine's file system; None when it is the same one, or not on this machine."""
        root = self._engine_root()
        if root is None or self._is_same(root):
            return None
        return self._measure(root, ENGINE_DISK_FREE.set)

    def shortage(self) -> str | None:
        """Return why no replica can be started, with numbers; None when there is enough free space."""
        for whose, found in (("machine's disk", self.measure()), ("container engine's disk", self.measure_engine())):
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

    def _measure(self, folder: Path, gauge: Callable[[float], None]) -> Disk | None:
        try:
            free, total = free_bytes(folder), total_bytes(folder)
        except OSError as error:
            if folder not in self._unreadable:
                self._unreadable.add(folder)
                log.warning("disk_unreadable", folder=str(folder), error=error.strerror)
            return None
        self._unreadable.discard(folder)
        gauge(free)
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
