"""Route tables on disk, one file per service.

So the proxy serves after a restart even if the manager and the bus are down.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import structlog

from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.problems import MalformedMessage
from headrace.common.runtime.files import remove_leftovers, sync_folder, write_atomically

log = structlog.get_logger()
FOLDER: Final = "routes"
"""Folder of the tables, within the data folder."""
_MAX_BYTES = 16 * 1024 * 1024


class TableStore:
    """Store of route tables in a folder, one file per service.

    Files are replaced atomically and synced; an unreadable file is logged and left in place.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._saved: dict[ServiceId, int] = {}

    def load_into(self, tables: RouteTables) -> int:
        """Load every stored table into `tables` and return their number. Creates the folder (0700) if needed. Raises
        OSError.
        """
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        remove_leftovers(self._folder)
        for path in sorted(self._folder.glob("*.json")):
            table = _read(path)
            if table is not None and tables.apply(table):
                self._saved[table.service_id] = table.generation
        return len(self._saved)

    async def save(self, tables: RouteTables) -> None:
        """Write the changed tables of `tables` and delete the files of removed ones. Raises OSError; the next save
        retries.
        """
        changed = [t for t in tables if self._saved.get(t.service_id) != t.generation]
        gone = [service_id for service_id in self._saved if tables.get(service_id) is None]
        if not changed and not gone:
            return
        await asyncio.to_thread(self._write_all, changed, gone)

    def _write_all(self, changed: list[RouteTable], gone: list[ServiceId]) -> None:
        for table in changed:
            write_atomically(self._folder / f"{table.service_id}.json", table.encode(), names_too=False)
            self._saved[table.service_id] = table.generation
        for service_id in gone:
            (self._folder / f"{service_id}.json").unlink(missing_ok=True)
            del self._saved[service_id]
        sync_folder(self._folder)


def _read(path: Path) -> RouteTable | None:
    try:
        if path.stat().st_size > _MAX_BYTES:
            log.warning("stored_table_refused", file=str(path), why="too large")
            return None
        return RouteTable.decode(path.read_bytes())
    except (OSError, MalformedMessage) as error:
        log.warning("stored_table_refused", file=str(path), why=str(error))
        return None
