"""Bus subscriptions of the agent: its plan, and requests for logs. The agent also works while the bus is unreachable."""

from __future__ import annotations

from headrace.agent.logs import LogServer
from headrace.agent.plans import Plans
from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import LastValues, answering, read
from headrace.common.bus.stored import stored_value
from headrace.common.bus.subjects import stream_of
from headrace.common.contracts.messages.logs import LogsRequest
from headrace.common.contracts.messages.plans import NodePlan


async def read_plan(bus: Bus, agent_id: str, plans: Plans) -> None:
    """Use the plan that is stored now, if it is newer. Raises BusUnavailable when it cannot be read."""
    subject = NodePlan.subject_for(agent_id=agent_id)
    stored = await stored_value(bus, stream_of(NodePlan), subject)
    plan = read(NodePlan, subject, stored.data) if stored is not None else None
    if plan is not None:
        await plans.offer(plan)


async def serve(bus: Bus, agent_id: str, plans: Plans, logs: LogServer) -> None:
    """Subscribe to the plan and answer log requests until cancelled. Raises BusUnavailable."""
    values = LastValues(bus, NodePlan, plans.offer, subject=NodePlan.subject_for(agent_id=agent_id))
    async with answering(bus, LogsRequest, logs.answer, subject=LogsRequest.subject_for(agent_id=agent_id)):
        await values.run()
