"""Autoscaler → manager: a wish to change the number of replicas."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field, NonNegativeInt

from headrace.common.contracts.ids import RuleId, ServiceId
from headrace.common.contracts.messages.envelope import Message, Part
from headrace.common.contracts.reasons import Reason, said_of


class ScaleRequest(Message):
    """Change a service's number of replicas, if it is still the one that the decision was made from."""

    subject: ClassVar = "rpc.manager.scale"
    v: Literal[1] = 1
    service_id: ServiceId
    rule_id: RuleId
    from_wanted: NonNegativeInt
    wanted: NonNegativeInt
    observed: Annotated[float, Field(allow_inf_nan=False)]
    decided_at: AwareDatetime
    reason: Annotated[Reason, said_of("scaling")]


class Cooling(Part):
    """Rule that fired less than its cooldown ago, by the decisions that the managers keep."""

    rule_id: RuleId
    left_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """Seconds of the cooldown that are left."""


class ScaleReply(Message):
    """Result of a ScaleRequest. `wanted` is the number of replicas now."""

    subject: ClassVar = "_reply"
    v: Literal[1] = 1
    applied: bool
    wanted: NonNegativeInt
    reason: Annotated[Reason, said_of("scaling")]
    cooling: Cooling | None = None
    """Why it was not applied, where the autoscaler did not know of this firing."""
