"""Reports of autoscalers, in memory: the last outcome of each rule."""

from __future__ import annotations

import time
from collections import OrderedDict

from headrace.common.contracts.ids import RuleId, ServiceId
from headrace.common.contracts.messages.rulestates import RuleOutcome, RuleReport
from headrace.common.runtime.clock import Monotonic

OUTCOMES_KEPT_S = 600.0
"""An autoscaler repeats them every 10 s."""


class LastRuleOutcomes:
    """Newest outcome of each rule, in memory; dropped when not repeated for `OUTCOMES_KEPT_S`."""

    def __init__(self, *, monotonic: Monotonic = time.monotonic) -> None:
        self._monotonic = monotonic
        self._outcomes: dict[ServiceId, dict[RuleId, RuleOutcome]] = {}
        self._heard: OrderedDict[ServiceId, float] = OrderedDict()
        """Arrival time of each service's last report, oldest first."""

    async def heard(self, report: RuleReport) -> None:
        """Store the outcomes of one service."""
        now = self._monotonic()
        self._outcomes[report.service_id] = {outcome.rule_id: outcome for outcome in report.outcomes}
        self._heard[report.service_id] = now
        self._heard.move_to_end(report.service_id)
        # services that are gone, or have no rules any more
        while now - next(iter(self._heard.values())) > OUTCOMES_KEPT_S:
            self._outcomes.pop(self._heard.popitem(last=False)[0], None)

    def of(self, service_id: ServiceId, rule_id: RuleId) -> RuleOutcome | None:
        """Return the last reported outcome; None before the first."""
        return self._outcomes.get(service_id, {}).get(rule_id)
