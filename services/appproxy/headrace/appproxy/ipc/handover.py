"""Restart handover: a file by which workers without a parent learn that the next app-proxy serves."""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path

import structlog

log = structlog.get_logger()
_FILE = "serving"
_POLL_S = 0.05


class Handover:
    """Announcement that this app-proxy process serves, for workers whose parent died. `instance_id` is passed to its
    workers.
    """

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / _FILE
        self.instance_id = secrets.token_hex(8)

    def announce(self) -> None:
        """Write the announcement: workers of an earlier app-proxy may drain and exit."""
        try:
            self._file.write_text(self.instance_id, encoding="ascii")
        except OSError as error:  # they time out as if there were no successor
            log.warning("handover_not_announced", why=error.strerror or str(error))


async def successor_serves(data_dir: Path, instance_id: str, *, within_s: float) -> bool:
    """Wait until an app-proxy with another instance id serves; return False if none does in time."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            said = (data_dir / _FILE).read_text(encoding="ascii")
        except (OSError, ValueError):
            said = instance_id
        if said not in {instance_id, ""}:
            return True
        await asyncio.sleep(_POLL_S)
    return False
