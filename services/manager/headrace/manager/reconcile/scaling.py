"""Answers the autoscaler: the wanted replicas change only if they still are what the decision was made from."""

from __future__ import annotations

from collections.abc import Callable

from headrace.common.contracts.messages.scaling import ScaleReply, ScaleRequest
from headrace.common.contracts.problems import QuotaExceeded
from headrace.common.contracts.reasons import Reason
from headrace.common.db.pool import Pool, transaction
from headrace.manager.domain import quota
from headrace.manager.store import scaling

MOST_REPLICAS = 10_000


class Scaling:
    """`rpc.manager.scale`, answered by any manager of the queue group."""

    def __init__(self, pool: Pool, poke: Callable[[], None]) -> None:
        self._pool = pool
        self._poke = poke

    async def answer(self, request: ScaleRequest) -> ScaleReply:
        """Apply or refuse, with the reason. What is applied is in the history in the same transaction."""
        async with transaction(self._pool) as con:
            service = await scaling.lock(con, request.service_id, request.rule_id)
            if service is None:
                return ScaleReply(
                    applied=False, wanted=0, reason=Reason(code="service-gone", text="there is no such service")
                )
            refusal = _refusal(service, request)
            if refusal is None and request.wanted > service.wanted:
                held = await scaling.used(con, service.project_id, besides=request.service_id)
                try:
                    quota.check(service.project, service.quota, held, quota.times(service.slots, request.wanted))
                except QuotaExceeded as problem:
                    refusal = Reason(code=problem.type, text=problem.detail)
            if refusal is not None:
                return ScaleReply(applied=False, wanted=service.wanted, reason=refusal)
            await scaling.record(con, request, service.project_id)
        self._poke()
        return ScaleReply(applied=True, wanted=request.wanted, reason=request.reason)


def _refusal(service: scaling.Scalable, request: ScaleRequest) -> Reason | None:
    if service.goal != "running":
        return Reason(code="service-not-running", text=f"{service.name} is {service.goal}")
    if not service.rule_exists:
        return Reason(code="rule-gone", text="the rule was removed")
    if service.wanted != request.from_wanted:
        text = f"{service.name} wants {service.wanted} replicas now, not {request.from_wanted}"
        return Reason(code="wanted-changed", text=text)
    if request.wanted > MOST_REPLICAS:
        return Reason(code="too-many-replicas", text=f"{request.wanted} is above {MOST_REPLICAS}")
    return None
