"""Scale requests to the manager, such that a rule fires once: written down, asked, settled."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from nats.errors import NoRespondersError

from headrace.autoscaler.domain.firing import Pending
from headrace.autoscaler.domain.policy import RuleEvaluation, cooldown_end
from headrace.autoscaler.metrics import DECISIONS
from headrace.autoscaler.records import Records
from headrace.autoscaler.rule_tables import RuleTables, WatchedService
from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import ask
from headrace.common.contracts.messages.scaling import ScaleReply, ScaleRequest
from headrace.common.contracts.problems import BusUnavailable, MalformedMessage
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.scaling import ScalingReason

log = structlog.get_logger()


class ScaleRequester:
    """Fires one rule of one service. Raises RedisError when the firing cannot be recorded (before asking: nothing was asked)."""

    def __init__(self, bus: Bus, tables: RuleTables, records: Records, *, ask_timeout: timedelta) -> None:
        self._bus = bus
        self._tables = tables
        self._records = records
        self._timeout_s = ask_timeout.total_seconds()

    async def fire(self, known: WatchedService, look: RuleEvaluation, now: datetime) -> tuple[RuleEvaluation, bool]:
        """Return the look as it stands after the manager's answer, and whether the rule fired."""
        service, generation = known.table.service_id, known.table.generation
        observed = look.observed if look.observed is not None else 0.0
        pending = Pending(
            rule_id=look.rule.rule_id,
            at=now,
            from_wanted=known.wanted,
            wanted=look.wanted,
            observed=observed,
            text=look.reason.text,
        )
        request = ScaleRequest(
            service_id=service,
            rule_id=pending.rule_id,
            from_wanted=pending.from_wanted,
            wanted=pending.wanted,
            observed=observed,
            decided_at=now,
            reason=look.reason,
        )
        await self._records.begin(service, pending)
        try:
            reply = await ask(self._bus, request, ScaleReply, timeout_s=self._timeout_s)
        except (BusUnavailable, MalformedMessage) as problem:
            return await self._unanswered(known, look, problem), False
        self._tables.learn(service, reply.wanted, generation=generation)
        if not reply.applied:
            await self._records.dropped(service)
            DECISIONS.labels("refused").inc()
            log.info("scale_refused", service_id=str(service), rule_id=str(pending.rule_id), why=reply.reason.text)
            text = f"{look.reason.text}; the manager refused: {reply.reason.text}"
            return replace(look, reason=Reason.of(ScalingReason.REFUSED, text)), False
        await self._records.done(service, pending)
        DECISIONS.labels("applied").inc()
        log.info(
            "scaled", service_id=str(service), rule_id=str(pending.rule_id), wanted=reply.wanted, why=look.reason.text
        )
        return replace(look, cooldown_until=cooldown_end(look.rule.spec, now)), True

    async def _unanswered(
        self, known: WatchedService, look: RuleEvaluation, problem: BusUnavailable | MalformedMessage
    ) -> RuleEvaluation:
        DECISIONS.labels("unanswered").inc()
        log.warning("scale_unanswered", service_id=str(known.table.service_id), why=problem.detail)
        if isinstance(problem.__cause__, NoRespondersError):  # nobody got it: it surely was not done
            await self._records.dropped(known.table.service_id)
            return replace(
                look, reason=Reason.of(ScalingReason.MANAGER_AWAY, f"{look.reason.text}; no manager listens")
            )
        # Else it may have been done: the record stays, and the next looks settle it (domain/firing.py).
        text = f"{look.reason.text}; the manager did not answer: {problem.detail}"
        return replace(look, reason=Reason.of(ScalingReason.NO_ANSWER, text))
