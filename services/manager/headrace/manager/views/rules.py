"""Views of autoscaling rules."""

from __future__ import annotations

from headrace.common.contracts.http.rules import RuleView
from headrace.common.contracts.messages.rulestates import RuleOutcome
from headrace.manager.domain.entity_tags import tag_of_rule
from headrace.manager.domain.records.rules import Rule


def rule_view(rule: Rule, outcome: RuleOutcome | None = None) -> RuleView:
    """Return a rule with its last outcome."""
    return RuleView(id=rule.id, spec=rule.spec, created_at=rule.created_at, outcome=outcome, etag=tag_of_rule(rule))
