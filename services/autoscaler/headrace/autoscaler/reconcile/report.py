"""Publisher of RuleReport: the outcome of each rule, without repeating the same thing each second."""

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

NEW_VALUES_EVERY: Final = timedelta(seconds=3)
"""A report in which only observed values differ is sent at most so often."""


@dataclass(frozen=True, slots=True)
class _Sent:
    at: datetime
    shape: tuple[object, ...]
    values: tuple[float | None, ...]


class Reporter:
    """Publishes RuleReports: at once when a reason changed or a rule fired, at least every `every`."""

    def __init__(self, bus: Bus, *, every: timedelta) -> None:
        self._bus = bus
        self._every = every
        self._sent: dict[ServiceId, _Sent] = {}

    async def report(
        self, table: RuleTable, looks: Sequence[RuleEvaluation], now: datetime, *, fired: RuleEvaluation | None = None
    ) -> None:
        """Publish if it is due. A report that the bus did not take is due again at the next look."""
        shape = tuple((look.rule.rule_id, look.reason.code, look is fired, look.cooldown_until) for look in looks)
        values = tuple(look.observed for look in looks)
        if not self._due(self._sent.get(table.service_id), shape, values, now):
            return
        outcomes = tuple(_outcome(look, now, fired=look is fired) for look in looks)
        if await publish(self._bus, RuleReport(service_id=table.service_id, outcomes=outcomes)):
            REPORTS.inc()
            self._sent[table.service_id] = _Sent(now, shape, values)

    async def paused(self, table: RuleTable, reason: Reason, now: datetime) -> None:
        """Say that no rule of the service is evaluated, and why."""
        looks = [
            RuleEvaluation(rule=rule, observed=None, would_fire=False, wanted=table.wanted, reason=reason)
            for rule in table.rules
        ]
        await self.report(table, looks, now)

    def retain(self, services: Collection[ServiceId]) -> None:
        """Forget what was sent of others; they are reported by somebody else, or gone."""
        self._sent = {service: sent for service, sent in self._sent.items() if service in services}

    def _due(
        self, last: _Sent | None, shape: tuple[object, ...], values: tuple[float | None, ...], now: datetime
    ) -> bool:
        if last is None or last.shape != shape:
            return True
        # A clock that was set back must not silence the reports.
        age = abs(now - last.at)
        return age >= self._every or (last.values != values and age >= NEW_VALUES_EVERY)


def _outcome(look: RuleEvaluation, now: datetime, *, fired: bool) -> RuleOutcome:
    return RuleOutcome(
        rule_id=look.rule.rule_id,
        at=now,
        observed=look.observed,
        fired=fired,
        reason=look.reason,
        cooldown_until=look.cooldown_until,
    )
