"""Drains loop: says which services move their replicas off machines that are being drained, and ends drains that are over."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from headrace.common.db.pool import Pool, transaction
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.lifecycle.agent_drain import decide
from headrace.manager.domain.records.agents import AgentDrain
from headrace.manager.loops.row_errors import skip_row
from headrace.manager.store import agent_drains, events

log = structlog.get_logger()


class DrainsLoop:
    """Reads: drains that are under way, and what is on their machines. Writes: whose turn it is, and the end of drains.

    The services loop replaces the replicas; placement keeps new ones off the machine, which is cordoned. What is under way is in
    the database, so any manager goes on with it.
    """

    def __init__(self, pool: Pool, clock: Clock, poke: Callable[..., None]) -> None:
        self._pool = pool
        self._clock = clock
        self._poke = poke
        self._ill = frozenset[str]()
        """Machines whose drain could not be handled in the last pass."""

    async def one_pass(self) -> None:
        """Look at each drain in a transaction of its own. One that cannot be handled costs itself."""
        async with self._pool.acquire(timeout=15) as con:
            current = await agent_drains.current(con)
        changed, ill = False, set[str]()
        for drain in current:
            try:
                changed = await self._one(drain) or changed
            except (ValueError, TypeError, KeyError) as error:
                skip_row("drains", error, known=drain.agent_id in self._ill, agent_id=drain.agent_id)
                ill.add(drain.agent_id)
        self._ill = frozenset(ill)
        if changed:
            self._poke("services", "receipts")

    async def _one(self, drain: AgentDrain) -> bool:
        """Move one drain on. Return whether anything changed."""
        async with transaction(self._pool, isolation="repeatable_read") as con:
            here = await agent_drains.here(con, drain.agent_id)
            holding, silent_s = await agent_drains.machine(con, drain.agent_id)
        state = decide(here, frozenset(drain.moving), holding, silent_s, self._clock())
        if state.over:
            async with transaction(self._pool) as con:
                if not await agent_drains.finish(con, drain):
                    return False
                await events.note(con, "agent.drained", message=drain.message, details={"agent": drain.agent_id})
            log.info("agent_drained", agent=drain.agent_id)
            return True
        if state.moving == frozenset(drain.moving):
            return False
        async with transaction(self._pool) as con:
            moved = await agent_drains.set_turn(con, drain, state.moving)
        log.info("agent_drain_advanced", agent=drain.agent_id, moving=[s.here.name for s in state.services if s.moves])
        return moved
