"""What the autoscaler said of rules is kept for as long as it is said."""

from __future__ import annotations

from datetime import UTC, datetime

from headrace.common.contracts.ids import RuleId, ServiceId, new_uuid
from headrace.common.contracts.messages.rulestates import RuleOutcome, RuleReport
from headrace.common.contracts.reasons import Reason
from headrace.manager.inbox.rule_outcomes import OUTCOMES_KEPT_S, LastRuleOutcomes

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _report(service: ServiceId, rule: RuleId) -> RuleReport:
    reason = Reason(code="not-crossed", text="it is below")
    return RuleReport(
        service_id=service,
        outcomes=(RuleOutcome(rule_id=rule, at=NOW, observed=1.0, fired=False, reason=reason),),
    )


async def test_outcomes_of_services_of_which_nothing_is_said_any_more_are_forgotten() -> None:
    clock = [0.0]
    outcomes = LastRuleOutcomes(monotonic=lambda: clock[0])
    gone = [(ServiceId(new_uuid()), RuleId(new_uuid())) for _ in range(50)]
    stays = (ServiceId(new_uuid()), RuleId(new_uuid()))
    for service, rule in (stays, *gone):
        await outcomes.heard(_report(service, rule))
    for _ in range(int(OUTCOMES_KEPT_S / 10) + 1):
        clock[0] += 10
        assert outcomes.of(*gone[0]) is not None, "it was said a moment ago"
        await outcomes.heard(_report(*stays))
    assert outcomes.of(*stays) is not None
    assert [outcomes.of(*one) for one in gone] == [None] * 50
    assert len(outcomes._outcomes) == len(outcomes._heard) == 1
