"""Use cases of drains of machines, for operators."""

from __future__ import annotations

from headrace.common.contracts.http.agent_drains import AgentDrainView, StartDrain
from headrace.common.contracts.problems import NotFound
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import AgentState
from headrace.manager.domain.lifecycle.agent_drain import decide
from headrace.manager.domain.records.events import INSTALLATION
from headrace.manager.store import agent_drains, agents, receipts
from headrace.manager.usecases.agents import held_agent
from headrace.manager.usecases.context import operators_only, record_of
from headrace.manager.usecases.ports import Pokes
from headrace.manager.views.agent_drains import drain_view


class AgentDrains:
    """Use cases of drains of machines, for operators."""

    def __init__(self, pool: Pool, pokes: Pokes, clock: Clock) -> None:
        self._pool = pool
        self._pokes = pokes
        self._clock = clock

    async def start(self, actor: Actor, agent_id: str, new: StartDrain) -> AgentDrainView:
        """Cordon the machine, and move its replicas elsewhere; one that is under way goes on. Raises Forbidden, NotFound."""
        operators_only(actor, "drain agents")
        async with transaction(self._pool) as con:
            agent = await held_agent(con, actor, agent_id)
            cordoned = (agent.cordon is None or bool(new.message)) and await agents.cordon(
                con, agent_id, actor.name, new.message
            )
            started = await agent_drains.start(con, agent_id, actor.name, new.message)
            if started or cordoned:
                after = await agents.one(con, agent_id)
                await record_of(
                    con,
                    actor,
                    "agent.drain-started" if started else "agent.cordoned",
                    INSTALLATION,
                    before=AgentState.seen(agent),
                    after=AgentState.seen(after) if after is not None else None,
                    message=new.message,
                    agent=agent_id,
                )
            view = await self._newest(con, agent_id)
        self._pokes.poke("drains", "placement")
        return view

    async def show(self, actor: Actor, agent_id: str) -> AgentDrainView:
        """Return the machine's newest drain, also one that is over. Raises Forbidden, NotFound."""
        operators_only(actor, "look at agents")
        async with transaction(self._pool, isolation="repeatable_read") as con:
            return await self._newest(con, agent_id)

    async def _newest(self, con: Connection, agent_id: str) -> AgentDrainView:
        drain = await agent_drains.newest(con, agent_id)
        if drain is None:
            raise NotFound(f"agent {agent_id} was never drained")
        found = await receipts.of_agent_drain(con, drain.id)
        if drain.ended_at is not None:
            return drain_view(drain, None, found)
        here = await agent_drains.here(con, agent_id)
        holding, silent_s = await agent_drains.machine(con, agent_id)
        return drain_view(drain, decide(here, frozenset(drain.moving), holding, silent_s, self._clock()), found)
