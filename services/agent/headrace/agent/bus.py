"""Bus subscriptions of the agent: its plan, and requests for logs. The agent also works while the bus is unreachable."""

from __future__ import annotations

from headrace.agent.logs import LogServer
from headrace.agent.plans import Plans
from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import LastValues, answering
from headrace.common.contracts.messages.logs import LogsRequest
from headrace.common.contracts.messages.plans import NodePlan


async def serve(bus: Bus, agent_id: str, plans: Plans, logs: LogServer) -> None:
    """Subscribe to the plan and answer log requests until cancelled. Raises BusUnavailable."""
    values = LastValues(bus, NodePlan, plans.offer, subject=NodePlan.subject_for(agent_id=agent_id))
    async with answering(bus, LogsRequest, logs.answer, subject=LogsRequest.subject_for(agent_id=agent_id)):
        await values.run()
