"""One autoscaling rule, as users write it and as the autoscaler evaluates it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from headrace.common.contracts.wording import Refused, pattern

_METRIC = pattern(
    r"^[a-zA-Z_][a-zA-Z0-9_:.\-]{0,199}$",
    "the name of a metric: at most 200 letters, digits, _ : . and -, not beginning with a digit",
)


Metric = Annotated[str, StringConstraints(pattern=_METRIC)]
Threshold = Annotated[float, Field(allow_inf_nan=False)]
Step = Annotated[int, Field(ge=-1000, le=1000)]
Replicas = Annotated[int, Field(ge=0, le=10_000)]
Cooldown = Annotated[int, Field(ge=0, le=604_800)]


class MetricSource(StrEnum):
    """Source of the observed value; both are means, except for metrics of the whole service."""

    KERNEL = "kernel"
    """Mean over the service's live kernels."""
    INFERENCE_FRAMEWORK = "inference-framework"
    """Mean over live replicas of a metric of the engine or the app-proxy; metrics of the whole service:
    headrace_queued, headrace_queue_seconds, headrace_refused_per_second, which exist without replicas too."""


class Comparator(StrEnum):
    """`value COMPARATOR threshold` fires the rule."""

    LESS_THAN = "LESS_THAN"
    LESS_THAN_OR_EQUAL = "LESS_THAN_OR_EQUAL"
    GREATER_THAN = "GREATER_THAN"
    GREATER_THAN_OR_EQUAL = "GREATER_THAN_OR_EQUAL"


class RuleSpec(BaseModel):
    """Spec of a rule. `step` is signed; a result outside [min_replicas, max_replicas] does not fire."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    source: MetricSource
    metric: Metric
    comparator: Comparator
    threshold: Threshold
    step: Step
    min_replicas: Replicas = 1
    max_replicas: Replicas
    cooldown_s: Cooldown = 300
    enabled: bool = True

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.step == 0:
            raise Refused(0, "a positive or a negative number: 0 would never change anything", below="step")
        if self.min_replicas > self.max_replicas:
            raise Refused(
                self.min_replicas, f"at most max_replicas, which is {self.max_replicas}", below="min_replicas"
            )
        return self
