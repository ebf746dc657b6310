"""Use cases of machines, for operators."""

from __future__ import annotations

from headrace.common.contracts.http.agents import AgentDetail, AgentView, UpdateAgent
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import InvalidRequest, NotFound
from headrace.common.db.pool import Pool, transaction
from headrace.manager.domain.access import Actor
from headrace.manager.domain.addresses import AddressPolicy
from headrace.manager.store import addresses, agents, events
from headrace.manager.usecases.context import make_page, operators_only
from headrace.manager.views.agents import agent_detail, agent_view


class Agents:
    """Use cases of machines, for operators."""

    def __init__(self, pool: Pool, places: AddressPolicy) -> None:
        self._pool = pool
        self._places = places

    async def page(self, actor: Actor, *, after: str, limit: int) -> Page[AgentView]:
        """Return machines by id. Raises Forbidden."""
        operators_only(actor, "list agents")
        async with self._pool.acquire() as con:
            found = await agents.page(con, after=after, limit=limit + 1)
        return make_page(found, limit, agent_view, lambda agent: agent.id)

    async def show(self, actor: Actor, agent_id: str) -> AgentDetail:
        """Return one machine with its GPUs and kernels. Raises Forbidden, NotFound."""
        operators_only(actor, "look at agents")
        async with self._pool.acquire() as con:
            agent = await agents.one(con, agent_id)
        if agent is None:
            raise NotFound(f"there is no agent {agent_id}")
        return agent_detail(agent)

    async def update(self, actor: Actor, agent_id: str, change: UpdateAgent) -> AgentDetail:
        """Set the allowed addresses of the machine's replicas, from its next report on.

        Raises Forbidden, NotFound, InvalidRequest for an address at which no machine may be.
        """
        operators_only(actor, "change agents")
        for number, address in enumerate(change.addresses or ()):
            if self._places.refuses(address) is not None:
                raise InvalidRequest.of(f"addresses[{number}]", address, f"{self._places.allowed} (replica_networks)")
        async with transaction(self._pool) as con:
            if not await addresses.set_allowed(con, agent_id, change.addresses):
                raise NotFound(f"there is no agent {agent_id}")
            details = {"agent": agent_id, "addresses": change.addresses and list(change.addresses)}
            await events.record(con, actor, "agent.updated", details=details)
            agent = await agents.one(con, agent_id)
        assert agent is not None  # noqa: S101 - it was just updated
        return agent_detail(agent)
