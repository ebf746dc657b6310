"""The room on the agent's disk: below the reserve no replica is started, and what runs goes on."""

from __future__ import annotations

from pathlib import Path

import structlog

from headrace.agent.metrics import DISK_FREE
from headrace.common.contracts.messages.reports import Disk
from headrace.common.runtime.disk import free_bytes, in_words, total_bytes

log = structlog.get_logger()
_STEP = 16 * 2**20
"""Free bytes are reported in steps of this, so that a report does not change with each line of a log."""


class DiskRoom:
    """The file system of `folder`, of which `reserve_bytes` are kept free of new replicas."""

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self._folder = folder
        self._reserve = reserve_bytes
        self._was_short = False

    def look(self) -> Disk | None:
        """Return what there is now; None where the system does not say. Logs when it becomes short, and when it is not any more."""
        try:
            free, total = free_bytes(self._folder), total_bytes(self._folder)
        except OSError as error:
            log.warning("disk_unreadable", folder=str(self._folder), error=error.strerror)
            return None
        DISK_FREE.set(free)
        short = free < self._reserve
        if short != self._was_short:
            self._was_short = short
            say = log.warning if short else log.info
            say("disk_low" if short else "disk_has_room", free_bytes=free, reserve_bytes=self._reserve)
        shown = free if short else free - free % _STEP
        return Disk(free_bytes=shown, total_bytes=total, reserve_bytes=self._reserve)

    def shortage(self) -> str | None:
        """Return why no replica can be started, in words with numbers; None when there is room."""
        found = self.look()
        if found is None or found.has_room:
            return None
        return (
            f"the machine's disk has {in_words(found.free_bytes)} free of {in_words(found.total_bytes)}; "
            f"to start a replica {in_words(found.reserve_bytes)} must be free (setting disk_reserve_bytes); it starts once they are"
        )
