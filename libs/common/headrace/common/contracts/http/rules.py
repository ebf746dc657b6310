"""Autoscaling rules of a service."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime

from headrace.common.contracts.http.page import View
from headrace.common.contracts.ids import RuleId
from headrace.common.contracts.messages.rulestates import RuleOutcome
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.rule import RuleSpec
from headrace.common.contracts.stored import as_stored


class RuleView(View):
    """A rule and what it did last."""

    id: RuleId
    spec: Annotated[RuleSpec, as_stored(RuleSpec)]
    created_at: AwareDatetime
    outcome: RuleOutcome | None = None
    """The autoscaler's last look; None until it had one."""


class ScaleDecisionView(View):
    """A change of the wanted replicas, whoever made it."""

    at: AwareDatetime
    source: Literal["rule", "user"]
    rule_id: RuleId | None
    from_replicas: int
    to_replicas: int
    observed: float | None
    reason: Reason
