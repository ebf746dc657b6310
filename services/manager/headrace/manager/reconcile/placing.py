"""The placement loop: pending sessions go to machines, or learn why not."""

from __future__ import annotations

from collections.abc import Callable

import asyncpg
import structlog

from headrace.common.db.pool import Pool, transaction
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.placement import Placement, place_all
from headrace.manager.store import sessions

log = structlog.get_logger()
BATCH = 500


class Placing:
    """Reads: pending sessions, machines, allocations. Changes: allocations, session status, reasons of those that wait."""

    def __init__(self, pool: Pool, clock: Clock, poke: Callable[..., None], *, most: int = 10_000) -> None:
        self._pool = pool
        self._clock = clock
        self._poke = poke
        self._most = most

    async def one_pass(self) -> None:
        """Decide for all, commit in batches. A batch that does not fit any more changes nothing and is decided again."""
        async with transaction(self._pool, isolation="repeatable_read") as con:
            requests, facts = await sessions.pending(con, self._most)
            machines = await sessions.machines(con) if requests else []
        if not requests:
            return
        placed, waiting = place_all(machines, requests, self._clock())
        for start in range(0, len(placed), BATCH):
            await self._commit([(p, facts[p.id][0]) for p in placed[start : start + BATCH]])
        changed = [w for w in waiting if facts[w.id][1] != w.text[:1000]]
        async with transaction(self._pool) as con:
            for entry in changed:
                await sessions.explain(con, entry, facts[entry.id][0])
        if placed:
            self._poke("plans")

    async def _commit(self, batch: list[tuple[Placement, int]]) -> None:
        try:
            async with transaction(self._pool) as con:
                for placement, rev in sorted(
                    batch, key=lambda entry: entry[0].machine_id
                ):  # one order of locks for all managers
                    await sessions.place(con, placement, rev)
        except asyncpg.IntegrityConstraintViolationError as error:
            log.info("placement_lost_a_race", error=str(error))
            self._poke("placement")
