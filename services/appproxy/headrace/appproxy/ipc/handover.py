"""Restart handover: a file by which workers without a parent learn that the next app-proxy serves."""

from __future__ import annotations

import asyncio
import secrets
import time
from pathlib import Path

import structlog

log = structlog.get_logger()
_FILE = "serving"
_LOOK_S = 0.05


class Handover:
    """Of one app-proxy process; `word` goes to its workers."""

    def __init__(self, data_dir: Path) -> None:
        self._file = data_dir / _FILE
        self.word = secrets.token_hex(8)

    def announce(self) -> None:
        """Tell workers of an app-proxy before this one that callers come in here."""
        try:
            self._file.write_text(self.word, encoding="ascii")
        except OSError as error:  # they wait no longer than they would for nobody
            log.warning("handover_not_told", why=error.strerror or str(error))


async def successor_serves(data_dir: Path, word: str, *, within_s: float) -> bool:
    """Wait until another app-proxy serves than the one with this word; return whether one does in time."""
    until = time.monotonic() + within_s
    while time.monotonic() < until:
        try:
            said = (data_dir / _FILE).read_text(encoding="ascii")
        except (OSError, ValueError):
            said = word
        if said not in {word, ""}:
            return True
        await asyncio.sleep(_LOOK_S)
    return False
