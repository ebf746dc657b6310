"""Autoscaler → manager: what it made of each rule."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime

from headrace.common.contracts.ids import RuleId, ServiceId
from headrace.common.contracts.messages.envelope import Message, Part
from headrace.common.contracts.reasons import Reason, said_of


class RuleOutcome(Part):
    """Last evaluation of one rule: the observed value, whether it fired, and the reason."""

    rule_id: RuleId
    at: AwareDatetime
    observed: float | None
    fired: bool
    reason: Annotated[Reason, said_of("scaling")]
    cooldown_until: AwareDatetime | None = None


class RuleReport(Message):
    """Autoscaler → managers, when an outcome changes and at least every 10 s.

    It has the last evaluations of all rules of one service.
    """

    subject: ClassVar = "report.rules.{service_id}"
    v: Literal[1] = 1
    service_id: ServiceId
    outcomes: tuple[RuleOutcome, ...]
