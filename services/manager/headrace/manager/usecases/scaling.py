"""Scaling: changes of the wanted replicas by rules. A user's change of them is an update of the service (`changes.py`).

Both are judged by the same checks: by the wanted number when the service's row is locked, the bound on replicas, and the
project's quota, counted by one transaction at a time. Each change leaves a decision (`headrace service decisions`).
"""

from __future__ import annotations

from typing import Final

from headrace.common.contracts.http.services import MAX_REPLICAS
from headrace.common.contracts.ids import ProjectId, ServiceId
from headrace.common.contracts.messages.scaling import Cooling, ScaleReply, ScaleRequest
from headrace.common.contracts.problems import QuotaExceeded
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.scaling import ScalingReason
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain import quota
from headrace.manager.domain.records.services import ScaleTarget
from headrace.manager.store import decisions, events, projects, services
from headrace.manager.usecases.ports import Pokes

COOLDOWN_SLACK_S: Final = 2.0
"""The end of a cooldown that the autoscaler judges: it counts from when it decided, this from when that was applied."""


async def check_quota(
    con: Connection,
    project_id: ProjectId,
    service_id: ServiceId,
    slots: quota.Slots,
    replicas: int,
    *,
    starts: bool = False,
) -> None:
    """Raise QuotaExceeded if the project may not have that many replicas of the service beside its other usage.

    `starts`: the service does not run yet.

    The project is locked until the transaction ends, so that of two concurrent changes the second sees the first.
    """
    project = await projects.lock(con, project_id)
    if project is not None:
        used = await projects.used(con, project_id, except_service=service_id)
        asked = quota.started(slots, replicas) if starts else quota.times(slots, replicas)
        quota.check(project.name, project.quota, used, asked)


class Scaling:
    """Scale requests of rules: any manager answers, and the change is applied only if the number is still the one evaluated."""

    def __init__(self, pool: Pool, pokes: Pokes) -> None:
        self._pool = pool
        self._pokes = pokes

    async def answer(self, request: ScaleRequest) -> ScaleReply:
        """Apply or refuse the request, with the reason. An applied one is in the history in the same transaction."""
        async with transaction(self._pool) as con:
            service = await services.lock_for_rule(con, request.service_id, request.rule_id)
            if service is None:
                gone = Reason.of(ScalingReason.SERVICE_GONE, "there is no such service")
                return ScaleReply(applied=False, wanted=0, reason=gone)
            refusal = await self._refusal(con, service, request)
            if refusal is not None:
                return ScaleReply(applied=False, wanted=service.wanted, reason=refusal)
            cooling = await self._cooling(con, service, request)
            if cooling is not None:
                text = f"rule {cooling.rule_id} fired less than its cooldown ago, {cooling.left_s:.0f} s of it are left"
                reason = Reason.of(ScalingReason.COOLING_DOWN, text)
                return ScaleReply(applied=False, wanted=service.wanted, reason=reason, cooling=cooling)
            await self._apply(con, service, request)
        self._pokes.poke("services", "rules")
        return ScaleReply(applied=True, wanted=request.wanted, reason=request.reason)

    async def _refusal(self, con: Connection, service: ScaleTarget, request: ScaleRequest) -> Reason | None:
        refusal = _refusal(service, request)
        if refusal is None and request.wanted > service.wanted:
            try:
                await check_quota(con, service.project_id, request.service_id, service.slots, request.wanted)
            except QuotaExceeded as problem:
                return Reason.of(ScalingReason.QUOTA_EXCEEDED, problem.detail)
        return refusal

    async def _cooling(self, con: Connection, service: ScaleTarget, request: ScaleRequest) -> Cooling | None:
        """Return the rule whose cooldown forbids the request. The autoscaler knows it, unless its Redis lost the last firings."""
        found = await decisions.cooling(
            con, request.service_id, request.rule_id, scale_in=request.wanted < service.wanted
        )
        if found is None or found.left_s <= COOLDOWN_SLACK_S:
            return None
        return Cooling(rule_id=found.rule_id, left_s=found.left_s)

    async def _apply(self, con: Connection, service: ScaleTarget, request: ScaleRequest) -> None:
        await services.set_wanted(con, request.service_id, request.wanted)
        await decisions.insert(
            con,
            request.service_id,
            request.from_wanted,
            request.wanted,
            request.reason,
            request.rule_id,
            request.observed,
        )
        details = {
            "from": request.from_wanted,
            "to": request.wanted,
            "rule_id": str(request.rule_id),
            "observed": request.observed,
        }
        await events.note(
            con,
            "service.scaled",
            project_id=service.project_id,
            service_id=request.service_id,
            message=request.reason.text,
            details=details,
            by="autoscaler",
        )


def _refusal(service: ScaleTarget, request: ScaleRequest) -> Reason | None:
    if service.goal != "running":
        return Reason.of(ScalingReason.SERVICE_NOT_RUNNING, f"{service.name} is {service.goal}")
    if not service.rule_exists:
        return Reason.of(ScalingReason.RULE_GONE, "the rule was removed")
    if service.wanted != request.from_wanted:
        text = f"{service.name} wants {service.wanted} replicas now, not {request.from_wanted}"
        return Reason.of(ScalingReason.WANTED_CHANGED, text)
    if request.wanted > MAX_REPLICAS:
        return Reason.of(ScalingReason.TOO_MANY_REPLICAS, f"{request.wanted} is above {MAX_REPLICAS}")
    return None
