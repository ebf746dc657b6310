"""Placement loop: assigns pending sessions to machines, and records why the others wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import asyncpg
import structlog

from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.reasons.placement import PlacementReason
from headrace.common.db.pool import Pool, transaction
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.model_import import wait_reason
from headrace.manager.domain.placement.scheduler import Placement, Unplaced, place_all
from headrace.manager.loops.row_errors import error_text, skip_row
from headrace.manager.metrics import PLACED, PLACEMENT_SECONDS, UNPLACED
from headrace.manager.store import imports, sessions

log = structlog.get_logger()
BATCH = 500
"""Sessions per transaction."""
T = TypeVar("T")


class PlacementLoop:
    """Reads: pending sessions, machines, allocations. Writes: allocations, session status, reasons of those that wait."""

    def __init__(self, pool: Pool, clock: Clock, poke: Callable[..., None], *, most: int = 10_000) -> None:
        self._pool = pool
        self._clock = clock
        self._poke = poke
        self._most = most
        self._ill = frozenset[str]()
        """Machines that could not be read in the last pass."""

    async def one_pass(self) -> None:
        """Decide for all sessions, commit in batches. A placement that does not fit any more is dropped and decided again.

        A session or a machine that cannot be read is skipped; the session's reason says why.
        """
        async with transaction(self._pool, isolation="repeatable_read") as con:
            pending = await sessions.pending(con, self._most)
            machines, ill = await sessions.machines(con) if pending.requests else ([], {})
            models = await imports.of(con, list(set(pending.importing.values())))
        facts = pending.facts
        if not facts:
            UNPLACED.set(0)
            return
        for machine, error in ill.items():
            skip_row("placement", error, known=machine in self._ill, agent_id=machine)
        self._ill = frozenset(ill)
        with PLACEMENT_SECONDS.time():  # in a thread, so that thousands of sessions do not hold up requests
            placed, waiting = await asyncio.to_thread(place_all, machines, pending.requests, self._clock())
        waiting += [_not_placeable(ill_id, facts[ill_id][1], error) for ill_id, error in pending.unreadable.items()]
        waiting += [Unplaced(one, *wait_reason(models.get(model))) for one, model in pending.importing.items()]
        waiting += [_not_allowed(one, group) for one, group in pending.not_allowed.items()]
        UNPLACED.set(len(waiting))
        for batch in _batches([(placement, facts[placement.id][0]) for placement in placed]):
            await self._commit(batch)
        news = [(w, facts[w.id][0]) for w in waiting if facts[w.id][1] != w.code.bounded(w.text)]
        for some in _batches(news):
            async with transaction(self._pool) as con:
                await sessions.set_wait_reasons(con, some)

    async def _commit(self, batch: Sequence[tuple[Placement, int]]) -> None:
        """Commit the batch; if the database refuses it, its halves, so that one that lost a race does not block the others."""
        try:
            async with transaction(self._pool) as con:
                bound = await sessions.place(con, batch)
        except (asyncpg.IntegrityConstraintViolationError, asyncpg.DataError) as error:
            if len(batch) > 1:
                middle = len(batch) // 2
                await self._commit(batch[:middle])
                await self._commit(batch[middle:])
                return
            if isinstance(error, asyncpg.DataError):
                await self._refused(*batch[0], error)
                return
            log.info("placement_conflicted", session_id=str(batch[0][0].id), error=str(error))
            self._poke("placement")
            return
        if bound:
            PLACED.inc(bound)
            self._poke("plans")

    async def _refused(self, placement: Placement, rev: int, error: asyncpg.DataError) -> None:
        """Record that the database cannot read the session's or its machine's row."""
        waiting = _not_placeable(placement.id, "", error, f" on {placement.machine_id}")
        async with transaction(self._pool) as con:
            await sessions.set_wait_reasons(con, [(waiting, rev)])


def _not_placeable(session_id: SessionId, reason: str, error: Exception, where: str = "") -> Unplaced:
    """Return the placement failure of a skipped session; `reason` is its present one."""
    code = PlacementReason.NOT_PLACEABLE
    text = code.bounded(f"it cannot be placed{where} with what is stored: {error_text(error)}")
    skip_row("placement", error, known=text == reason, session_id=str(session_id))
    return Unplaced(session_id, code, text)


def _not_allowed(session_id: SessionId, group: str) -> Unplaced:
    """Return the placement failure of a session whose project may not use its resource group."""
    then = "an operator lets it (headrace resource-group update), or it is made in another group"
    text = f"its project may not use resource group {group}, so it waits until {then}"
    return Unplaced(session_id, PlacementReason.GROUP_NOT_ALLOWED, text)


def _batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    return (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
