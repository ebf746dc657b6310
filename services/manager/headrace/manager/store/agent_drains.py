"""Queries: drains of machines, and what is still there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from headrace.common.contracts.ids import ServiceId, new_uuid
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.lifecycle.agent_drain import ServiceHere
from headrace.manager.domain.records.agents import AgentDrain

SQL = Queries.beside(__file__)
MAX_DRAINS = 1000
"""Drains that a pass looks at."""
Outcome = Literal["finished", "cancelled", "removed"]


async def start(con: Connection, agent_id: str, by: str, message: str) -> bool:
    """Begin the drain of a machine. False when one is under way."""
    return await con.fetchval(SQL.start, new_uuid(), agent_id, by, message) is not None


async def current(con: Connection) -> list[AgentDrain]:
    """Return the drains that are under way, `MAX_DRAINS` of them."""
    return [AgentDrain(**row) for row in await con.fetch(SQL.current, MAX_DRAINS)]


async def newest(con: Connection, agent_id: str) -> AgentDrain | None:
    """Return the newest drain of a machine, also one that is over."""
    row = await con.fetchrow(SQL.newest, agent_id)
    return AgentDrain(**row) if row else None


async def here(con: Connection, agent_id: str) -> list[ServiceHere]:
    """Return what each service still has on a machine."""
    return [ServiceHere(**row) for row in await con.fetch(SQL.here, agent_id)]


async def machine(con: Connection, agent_id: str) -> tuple[int, float | None]:
    """Return how many kernels hold slots of a machine, and for how long it has been lost (None: it reports)."""
    row = await con.fetchrow(SQL.machine, agent_id)
    return (row["holding"], row["silent_s"]) if row else (0, None)


async def set_turn(con: Connection, drain: AgentDrain, moving: frozenset[ServiceId]) -> bool:
    """Store whose turn it is, and have the services loop look at those for which that changed. False after a lost race."""
    if await con.fetchval(SQL.turn, drain.id, list(drain.moving), sorted(moving)) is None:
        return False
    await look_again(con, moving ^ set(drain.moving))
    return True


async def finish(con: Connection, drain: AgentDrain) -> bool:
    """End a drain that is over. False when it had ended."""
    return await con.fetchval(SQL.finish, drain.id, "finished") is not None


async def stop(con: Connection, agent_id: str, outcome: Outcome) -> bool:
    """End the drain of a machine before it is over. False when none is under way."""
    moving = await con.fetchval(SQL.stop, agent_id, outcome)
    await look_again(con, moving or ())
    return moving is not None


async def look_again(con: Connection, services: Collection[ServiceId]) -> None:
    """Have the services loop look at these services."""
    if services:
        await con.execute(SQL.look_again, list(services))
