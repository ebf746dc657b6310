"""Views of scale decisions."""

from __future__ import annotations

from headrace.common.contracts.http.decisions import ScaleDecisionView
from headrace.common.contracts.reasons import Reason
from headrace.manager.domain.records.decisions import ScaleDecision


def decision_view(decision: ScaleDecision) -> ScaleDecisionView:
    """Return a scale decision."""
    return ScaleDecisionView(
        at=decision.at,
        source=decision.source,
        rule_id=decision.rule_id,
        from_replicas=decision.from_replicas,
        to_replicas=decision.to_replicas,
        observed=decision.observed,
        reason=Reason.read(decision.reason_code, decision.reason_text),
    )
