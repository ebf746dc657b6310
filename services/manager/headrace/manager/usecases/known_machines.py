"""Machines as placement sees them, for answers about what would fit: read once for all who ask within a few seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from headrace.common.db.pool import Pool
from headrace.common.runtime.clock import Clocks
from headrace.manager.domain.placement.machines import Machine
from headrace.manager.store import sessions

MACHINES_KEPT_S: Final = 5.0
"""Age of the machines by which a fit is judged."""


class KnownMachines:
    """Machines with their free capacity, up to MACHINES_KEPT_S old."""

    def __init__(self, pool: Pool, clocks: Clocks) -> None:
        self._pool = pool
        self._clocks = clocks
        self._reading = asyncio.Lock()
        self._machines: tuple[float, Sequence[Machine]] | None = None

    async def read(self) -> Sequence[Machine]:
        """Return the machines."""
        async with self._reading:  # one reads, the others wait for it
            now = self._clocks.monotonic()
            if self._machines is None or now - self._machines[0] > MACHINES_KEPT_S:
                async with self._pool.acquire() as con:
                    machines, _ = await sessions.machines(con)
                self._machines = now, machines
            return self._machines[1]
