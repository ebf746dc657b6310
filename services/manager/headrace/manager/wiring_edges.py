"""Outside resources that the manager's parts are made on."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.common.bus.connect import Bus
from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import SYSTEM_CLOCKS, Clocks
from headrace.manager.folders.storage import FolderStorage


@dataclass(frozen=True, slots=True)
class Edges:
    """Outside resources of a manager: database, bus, files and clocks."""

    pool: Pool
    bus: Bus
    storage: FolderStorage
    clocks: Clocks = SYSTEM_CLOCKS
