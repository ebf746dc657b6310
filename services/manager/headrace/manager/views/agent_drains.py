"""Views of drains of machines."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.common.contracts.http.agent_drains import AgentDrainReceipt, AgentDrainView, ServiceOnAgent
from headrace.manager.domain.lifecycle import receipts as sums
from headrace.manager.domain.lifecycle.agent_drain import DrainState, ServiceState
from headrace.manager.domain.records.agents import AgentDrain
from headrace.manager.domain.records.receipts import Receipt


def drain_view(drain: AgentDrain, state: DrainState | None, left: Sequence[Receipt]) -> AgentDrainView:
    """Return a drain. `state`: what is still there, None once it is over; `left`: the receipts of replicas that left."""
    return AgentDrainView(
        agent=drain.agent_id,
        status=drain.outcome or "draining",
        started_at=drain.started_at,
        started_by=drain.started_by,
        message=drain.message,
        ended_at=drain.ended_at,
        services=tuple(_service(one) for one in state.services) if state else (),
        reason=state.reason if state else None,
        receipt=AgentDrainReceipt(
            **sums.total(part for receipt in left for part in receipt.parts.values()).model_dump(),
            replicas=len(left),
            draining=sum(receipt.ended_at is None for receipt in left),
            waiting_for=tuple(sorted({proxy_id for receipt in left for proxy_id in sums.waiting_for(receipt.parts)})),
            complete=drain.ended_at is not None and all(sums.complete(r.parts, counted=r.counted) for r in left),
        ),
    )


def _service(one: ServiceState) -> ServiceOnAgent:
    here = one.here
    return ServiceOnAgent(
        service_id=here.service_id,
        name=here.name,
        replicas=here.active,
        leaving=here.leaving,
        moving=one.moves,
        reason=one.reason,
    )
