"""The placement loop: pending sessions go to machines, or learn why not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import asyncpg
import structlog

from headrace.common.db.pool import Pool, transaction
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.placement import Placement, place_all
from headrace.manager.metrics import PLACED, PLACING_SECONDS, WAITING
from headrace.manager.store import sessions

log = structlog.get_logger()
BATCH = 500
"""Sessions in one transaction."""
T = TypeVar("T")


class Placing:
    """Reads: pending sessions, machines, allocations. Changes: allocations, session status, reasons of those that wait."""

    def __init__(self, pool: Pool, clock: Clock, poke: Callable[..., None], *, most: int = 10_000) -> None:
        self._pool = pool
        self._clock = clock
        self._poke = poke
        self._most = most

    async def one_pass(self) -> None:
        """Decide for all, commit in batches. What does not fit any more changes nothing and is decided again."""
        async with transaction(self._pool, isolation="repeatable_read") as con:
            requests, facts = await sessions.pending(con, self._most)
            machines = await sessions.machines(con) if requests else []
        if not requests:
            WAITING.set(0)
            return
        with PLACING_SECONDS.time():  # in a thread, so that thousands of sessions do not hold up requests
            placed, waiting = await asyncio.to_thread(place_all, machines, requests, self._clock())
        WAITING.set(len(waiting))
        for batch in _batches([(placement, facts[placement.id][0]) for placement in placed]):
            await self._commit(batch)
        news = [(w, facts[w.id][0]) for w in waiting if facts[w.id][1] != w.text[: sessions.MAX_REASON]]
        for some in _batches(news):
            async with transaction(self._pool) as con:
                await sessions.explain(con, some)

    async def _commit(self, batch: Sequence[tuple[Placement, int]]) -> None:
        """Commit the batch; if the database refuses it, its halves, so that one that lost a race does not hold up the others."""
        try:
            async with transaction(self._pool) as con:
                bound = await sessions.place(con, batch)
        except asyncpg.IntegrityConstraintViolationError as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._commit(batch[:middle])
                await self._commit(batch[middle:])
                return
            log.info("placement_lost_a_race", session_id=str(batch[0][0].id), error=str(error))
            self._poke("placement")
            return
        if bound:
            PLACED.inc(bound)
            self._poke("plans")


def _batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
