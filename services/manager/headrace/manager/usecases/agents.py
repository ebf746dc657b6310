"""Use cases of machines, for operators."""

from __future__ import annotations

from typing import Any

from headrace.common.contracts.http.agents import (
    MAX_LABELS,
    AgentDetail,
    AgentView,
    ChangeLabels,
    CordonAgent,
    RemovedAgent,
    UpdateAgent,
)
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import Conflict, InUse, InvalidRequest, NotFound
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.session import SessionReason
from headrace.common.contracts.wording import shown
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain.access import Actor
from headrace.manager.domain.addresses import AddressPolicy
from headrace.manager.domain.audit_states import AgentState, RemovedAgentState
from headrace.manager.domain.entity_tags import tag_of_agent
from headrace.manager.domain.machine_labels import ANY_LABELS, LabelSelector
from headrace.manager.domain.machine_labels import changed as changed_labels
from headrace.manager.domain.machine_removal import refusal
from headrace.manager.domain.records.agents import Agent
from headrace.manager.domain.records.events import INSTALLATION
from headrace.manager.domain.records.projects import DEFAULT_GROUP
from headrace.manager.store import addresses, agent_drains, agents
from headrace.manager.usecases.context import check_match, make_page, no_group, operators_only, record_of
from headrace.manager.usecases.identities import Identities
from headrace.manager.usecases.ports import Pokes
from headrace.manager.views.agents import agent_detail, agent_view, removed_view


class Agents:
    """Use cases of machines, for operators."""

    def __init__(self, pool: Pool, places: AddressPolicy, identities: Identities, pokes: Pokes) -> None:
        self._pool = pool
        self._identities = identities
        self._places = places
        self._pokes = pokes

    async def page(self, actor: Actor, *, after: str, limit: int, label: str | None = None) -> Page[AgentView]:
        """Return machines by id; with `label` only those that it selects. Raises Forbidden, InvalidRequest."""
        operators_only(actor, "list agents")
        try:
            labels = ANY_LABELS if label is None else LabelSelector.parse(label)
        except ValueError as error:
            allowed = "KEY=VALUE or KEY, with commas between them"
            raise InvalidRequest.of("label", shown(str(error)), allowed) from error
        async with self._pool.acquire() as con:
            found = await agents.page(con, after=after, limit=limit + 1, labels=labels)
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
        """Set the allowed addresses of the machine's replicas, from its next report on, and its resource group.

        Raises Forbidden, NotFound, InvalidRequest for an address at which no machine may be, or a group that is not there.
        """
        operators_only(actor, "change agents")
        for number, address in enumerate(change.addresses or ()):
            if self._places.refuses(address) is not None:
                raise InvalidRequest.of(f"addresses[{number}]", address, f"{self._places.allowed} (replica_networks)")
        async with transaction(self._pool) as con:
            before = await held_agent(con, actor, agent_id)
            if "addresses" in change.model_fields_set:
                await addresses.set_allowed(con, agent_id, change.addresses)
            if "resource_group" in change.model_fields_set:
                group = change.resource_group or DEFAULT_GROUP
                if not await agents.move(con, agent_id, group):
                    raise await no_group(con, group)
            detail = agent_detail(await _changed(con, actor, "agent.updated", before))
        self._pokes.poke("placement")
        return detail

    async def cordon(self, actor: Actor, agent_id: str, new: CordonAgent) -> AgentDetail:
        """Place nothing new on the machine; what runs there goes on. Raises Forbidden, NotFound."""
        operators_only(actor, "cordon agents")
        async with transaction(self._pool) as con:
            agent = await held_agent(con, actor, agent_id)
            if await agents.cordon(con, agent_id, actor.name, new.reason):
                agent = await _changed(con, actor, "agent.cordoned", agent, message=new.reason or "")
        self._pokes.poke("placement")
        return agent_detail(agent)

    async def uncordon(self, actor: Actor, agent_id: str) -> AgentDetail:
        """Place sessions on the machine again, and cancel its drain. Raises Forbidden, NotFound."""
        operators_only(actor, "uncordon agents")
        async with transaction(self._pool) as con:
            agent = await held_agent(con, actor, agent_id)
            changed = await agents.uncordon(con, agent_id)
            cancelled = await agent_drains.stop(con, agent_id, "cancelled")
            if changed or cancelled:
                agent = await _changed(con, actor, "agent.uncordoned", agent, drain_cancelled=cancelled)
        self._pokes.poke("placement", "services")
        return agent_detail(agent)

    async def label(self, actor: Actor, agent_id: str, change: ChangeLabels) -> AgentDetail:
        """Set and take away labels of the machine. Raises Forbidden, NotFound, Conflict when there would be too many."""
        operators_only(actor, "label agents")
        async with transaction(self._pool) as con:
            agent = await held_agent(con, actor, agent_id)
            before = agent.labels
            after = changed_labels(before, change.labels)
            if len(after) > MAX_LABELS:
                raise Conflict(
                    f"{agent_id} would have {len(after)} labels; allowed: {MAX_LABELS}",
                    found=len(after),
                    allowed=MAX_LABELS,
                )
            if after != before:
                await agents.set_labels(con, agent_id, after)
                agent = await _changed(con, actor, "agent.labelled", agent)
            return agent_detail(agent)

    async def remove(self, actor: Actor, agent_id: str, *, force: bool, reason: str) -> None:
        """Remove a machine: its identity on the bus is revoked, its reports are refused from now on, and should it run something,
        it stops it.

        `force`: although something ran there when it fell silent, which is replaced at once.
        Raises Forbidden, NotFound, InUse with what runs there.
        """
        operators_only(actor, "remove agents")
        keys = await self._identities.keys()
        async with transaction(self._pool) as con:
            before = AgentState.seen(await held_agent(con, actor, agent_id))
            held = await agents.holdings(con, agent_id)
            assert held is not None  # noqa: S101 - it is locked
            why = refusal(agent_id, held, force=force)
            if why is not None:
                raise InUse(why, sessions=dict(held.sessions), holding=held.holding)
            gone = Reason.of(
                SessionReason.AGENT_REMOVED, f"{actor.name} removed its machine {agent_id}, which was silent"
            )
            ended = await agents.end_sessions(con, agent_id, gone)
            await agent_drains.stop(con, agent_id, "removed")
            await agents.remove(con, agent_id, actor.name, reason)
            revoked = await self._identities.revoke_named(con, actor, agent_id, reason, keys)
            await record_of(
                con,
                actor,
                "agent.removed",
                INSTALLATION,
                before=before,
                after=None,
                message=reason,
                agent=agent_id,
                force=force,
                sessions=ended,
                identity_revoked=revoked,
            )
        self._pokes.poke("revocations", "plans", "services", "routes", "rules", "placement")

    async def removed(self, actor: Actor, *, after: str, limit: int) -> Page[RemovedAgent]:
        """Return the machines whose reports are refused, by id. Raises Forbidden."""
        operators_only(actor, "list agents")
        async with self._pool.acquire() as con:
            found = await agents.removed(con, after=after, limit=limit + 1)
        return make_page(found, limit, removed_view, lambda agent: agent.id)

    async def admit(self, actor: Actor, agent_id: str) -> None:
        """Accept reports of a removed machine again: it is a new one then. Raises Forbidden, NotFound."""
        operators_only(actor, "admit agents")
        async with transaction(self._pool) as con:
            if not await agents.admit(con, agent_id):
                raise NotFound(f"no agent {agent_id} was removed")
            was, now = RemovedAgentState(refused=True), RemovedAgentState(refused=False)
            await record_of(con, actor, "agent.admitted", INSTALLATION, before=was, after=now, agent=agent_id)
        self._pokes.poke("plans")


async def held_agent(con: Connection, actor: Actor, agent_id: str) -> Agent:
    """Lock the machine until the transaction ends. Raises NotFound, PreconditionFailed."""
    agent = await agents.one(con, agent_id) if await agents.lock(con, agent_id) else None
    if agent is None:
        raise NotFound(f"there is no agent {agent_id}")
    check_match(actor, f"agent {agent_id}", tag_of_agent(agent))
    return agent


async def _changed(
    con: Connection, actor: Actor, action: str, before: Agent, *, message: str = "", **details: Any
) -> Agent:
    """Record the change of a machine that is held, and return it as it is now."""
    after = await agents.one(con, before.id)
    assert after is not None  # noqa: S101 - it is held
    was, now = AgentState.seen(before), AgentState.seen(after)
    named: dict[str, Any] = {"agent": before.id} | details
    await record_of(con, actor, action, INSTALLATION, before=was, after=now, message=message, **named)
    return after
