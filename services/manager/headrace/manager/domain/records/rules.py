"""Records of autoscaling rules."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import RuleId
from headrace.common.contracts.rule import RuleSpec


@dataclass(frozen=True)
class Rule:
    """A rule as stored; it may violate constraints that were added later."""

    id: RuleId
    spec: RuleSpec
    created_at: datetime
