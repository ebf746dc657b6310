"""Scale requests to the manager: recorded before they are sent, so that a rule fires once though an answer may be lost."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from nats.errors import NoRespondersError

from headrace.autoscaler.domain.firing import PendingRequest
from headrace.autoscaler.domain.policy import RuleEvaluation, cooldown_end
from headrace.autoscaler.metrics import SCALE_REQUESTS
from headrace.autoscaler.records import ScalingRecords
from headrace.autoscaler.rule_tables import RuleTables, WatchedService
from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import ask
from headrace.common.contracts.messages.scaling import ScaleReply, ScaleRequest
from headrace.common.contracts.problems import BusUnavailable, MalformedMessage
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.scaling import ScalingReason

log = structlog.get_logger()


class ScaleRequester:
    """Fires one rule of one service.

    Raises RedisError when the request cannot be recorded; the manager was not asked then.
    """

    def __init__(self, bus: Bus, tables: RuleTables, records: ScalingRecords, *, ask_timeout: timedelta) -> None:
        self._bus = bus
        self._tables = tables
        self._records = records
        self._timeout_s = ask_timeout.total_seconds()

    async def fire(
        self, watched: WatchedService, evaluation: RuleEvaluation, now: datetime
    ) -> tuple[RuleEvaluation, bool]:
        """Ask the manager to scale. Return the evaluation with the manager's answer, and whether the rule fired."""
        service, generation = watched.table.service_id, watched.table.generation
        observed = evaluation.observed if evaluation.observed is not None else 0.0
        pending = PendingRequest(
            rule_id=evaluation.rule.rule_id,
            at=now,
            from_wanted=watched.wanted,
            wanted=evaluation.wanted,
            observed=observed,
            text=evaluation.reason.text,
        )
        request = ScaleRequest(
            service_id=service,
            rule_id=pending.rule_id,
            from_wanted=pending.from_wanted,
            wanted=pending.wanted,
            observed=observed,
            decided_at=now,
            reason=evaluation.reason,
        )
        await self._records.begin(service, pending)
        try:
            reply = await ask(self._bus, request, ScaleReply, timeout_s=self._timeout_s)
        except (BusUnavailable, MalformedMessage) as problem:
            return await self._unanswered(watched, evaluation, problem), False
        self._tables.learn(service, reply.wanted, generation=generation)
        if not reply.applied:
            await self._records.dropped(service)
            await self._learn(watched, reply, now)
            SCALE_REQUESTS.labels("refused").inc()
            log.info("scale_refused", service_id=str(service), rule_id=str(pending.rule_id), why=reply.reason.text)
            text = f"{evaluation.reason.text}; the manager refused: {reply.reason.text}"
            return replace(evaluation, reason=Reason.of(ScalingReason.REFUSED, text)), False
        await self._records.done(service, pending)
        SCALE_REQUESTS.labels("applied").inc()
        log.info(
            "service_scaled",
            service_id=str(service),
            rule_id=str(pending.rule_id),
            wanted=reply.wanted,
            why=evaluation.reason.text,
        )
        return replace(evaluation, cooldown_until=cooldown_end(evaluation.rule.spec, now)), True

    async def _learn(self, watched: WatchedService, reply: ScaleReply, now: datetime) -> None:
        """Record a firing that Redis has lost, and the manager has not."""
        if reply.cooling is None:
            return
        for rule in watched.table.rules:
            if rule.rule_id == reply.cooling.rule_id:
                left = timedelta(seconds=reply.cooling.left_s)
                at = now + left - timedelta(seconds=rule.spec.cooldown_s)
                await self._records.fired(watched.table.service_id, rule.rule_id, at)

    async def _unanswered(
        self, watched: WatchedService, evaluation: RuleEvaluation, problem: BusUnavailable | MalformedMessage
    ) -> RuleEvaluation:
        SCALE_REQUESTS.labels("unanswered").inc()
        log.warning("scale_unanswered", service_id=str(watched.table.service_id), why=problem.detail)
        if isinstance(problem.__cause__, NoRespondersError):  # no manager got the request: it was not applied
            await self._records.dropped(watched.table.service_id)
            return replace(
                evaluation,
                reason=Reason.of(ScalingReason.MANAGER_AWAY, f"{evaluation.reason.text}; no manager listens"),
            )
        # Otherwise it may have been applied: the record stays, and the next ticks settle it (domain/firing.py).
        text = f"{evaluation.reason.text}; the manager did not answer: {problem.detail}"
        return replace(evaluation, reason=Reason.of(ScalingReason.NO_ANSWER, text))
