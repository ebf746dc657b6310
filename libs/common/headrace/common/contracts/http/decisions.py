"""Scale decisions of a service."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime

from headrace.common.contracts.http.page import View
from headrace.common.contracts.ids import RuleId
from headrace.common.contracts.reasons import Reason, said_of


class ScaleDecisionView(View):
    """A change of a service's number of replicas, by a user or a rule."""

    at: AwareDatetime
    source: Literal["rule", "user"]
    rule_id: RuleId | None
    from_replicas: int
    to_replicas: int
    observed: float | None
    reason: Annotated[Reason, said_of("scaling")]
