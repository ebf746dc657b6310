"""Machines, for operators."""

from __future__ import annotations

from headrace.common.contracts.http.agents import AgentDetail, AgentView
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import NotFound
from headrace.common.db.pool import Pool
from headrace.manager.domain.access import Actor
from headrace.manager.store import fleet
from headrace.manager.usecases.context import a_page, operators_only


class Fleet:
    """Looking at machines."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, actor: Actor, *, after: str, limit: int) -> Page[AgentView]:
        """Return machines by id. Raises Forbidden."""
        operators_only(actor, "list agents")
        async with self._pool.acquire(timeout=10) as con:
            found = await fleet.page(con, after=after, limit=limit + 1)
        return a_page(found, limit, lambda agent: AgentView(**agent.model_dump()), lambda agent: agent.id)

    async def show(self, actor: Actor, agent_id: str) -> AgentDetail:
        """Return one machine with its GPUs and kernels. Raises Forbidden, NotFound."""
        operators_only(actor, "look at agents")
        async with self._pool.acquire(timeout=10) as con:
            agent = await fleet.one(con, agent_id)
        if agent is None:
            raise NotFound(f"there is no agent {agent_id}")
        return agent
