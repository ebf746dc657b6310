"""Records of scale decisions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from headrace.common.contracts.ids import RuleId


@dataclass(frozen=True)
class CoolingRule:
    """Rule that fired less than its cooldown ago, and the seconds of it that are left."""

    rule_id: RuleId
    left_s: float


@dataclass(frozen=True)
class ScaleDecision:
    """A change of the wanted replicas, by a user or a rule."""

    id: UUID
    at: datetime
    source: Literal["rule", "user"]
    rule_id: RuleId | None
    from_replicas: int
    to_replicas: int
    observed: float | None
    reason_code: str
    reason_text: str
