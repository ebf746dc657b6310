"""Publisher of RuleReport: the outcome of each rule, not repeated each second while it is unchanged."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from headrace.autoscaler.domain.policy import RuleEvaluation
from headrace.autoscaler.metrics import REPORTS
from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import publish
from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.messages.rules import RuleTable
from headrace.common.contracts.messages.rulestates import RuleOutcome, RuleReport
from headrace.common.contracts.reasons import Reason

MIN_VALUE_INTERVAL: Final = timedelta(seconds=3)
"""A report in which only observed values differ is sent at most so often."""


@dataclass(frozen=True, slots=True)
class _LastReport:
    at: datetime
    shape: tuple[object, ...]
    values: tuple[float | None, ...]


class Reporter:
    """Publishes RuleReports: at once when a reason changed or a rule fired, else at least every `every`."""

    def __init__(self, bus: Bus, *, every: timedelta) -> None:
        self._bus = bus
        self._every = every
        self._sent: dict[ServiceId, _LastReport] = {}

    async def report(
        self,
        table: RuleTable,
        evaluations: Sequence[RuleEvaluation],
        now: datetime,
        *,
        fired: RuleEvaluation | None = None,
    ) -> None:
        """Publish the evaluations if a report is due. One that the bus did not take stays due."""
        shape = tuple(
            (evaluation.rule.rule_id, evaluation.reason.code, evaluation is fired, evaluation.cooldown_until)
            for evaluation in evaluations
        )
        values = tuple(evaluation.observed for evaluation in evaluations)
        if not self._due(self._sent.get(table.service_id), shape, values, now):
            return
        outcomes = tuple(_outcome(evaluation, now, fired=evaluation is fired) for evaluation in evaluations)
        if await publish(self._bus, RuleReport(service_id=table.service_id, outcomes=outcomes)):
            REPORTS.inc()
            self._sent[table.service_id] = _LastReport(now, shape, values)

    async def paused(self, table: RuleTable, reason: Reason, now: datetime) -> None:
        """Publish that no rule of the service is evaluated, with the reason."""
        evaluations = [
            RuleEvaluation(rule=rule, observed=None, would_fire=False, wanted=table.wanted, reason=reason)
            for rule in table.rules
        ]
        await self.report(table, evaluations, now)

    def retain(self, services: Collection[ServiceId]) -> None:
        """Forget the last reports of all other services: another autoscaler reports them now, or they were deleted."""
        self._sent = {service: sent for service, sent in self._sent.items() if service in services}

    def _due(
        self, last: _LastReport | None, shape: tuple[object, ...], values: tuple[float | None, ...], now: datetime
    ) -> bool:
        if last is None or last.shape != shape:
            return True
        # A clock that was set back must not silence the reports.
        age = abs(now - last.at)
        return age >= self._every or (last.values != values and age >= MIN_VALUE_INTERVAL)


def _outcome(evaluation: RuleEvaluation, now: datetime, *, fired: bool) -> RuleOutcome:
    return RuleOutcome(
        rule_id=evaluation.rule.rule_id,
        at=now,
        observed=evaluation.observed,
        fired=fired,
        reason=evaluation.reason,
        cooldown_until=evaluation.cooldown_until,
    )
