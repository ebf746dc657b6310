"""Autoscaling rules of a service."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AwareDatetime, model_validator

from headrace.common.contracts.http.page import Change, Changeable
from headrace.common.contracts.ids import RuleId
from headrace.common.contracts.messages.rulestates import RuleOutcome
from headrace.common.contracts.rule import (
    Comparator,
    Cooldown,
    Metric,
    MetricSource,
    Replicas,
    RuleSpec,
    Step,
    Threshold,
)
from headrace.common.contracts.stored import as_stored
from headrace.common.contracts.wording import Refused


class UpdateRule(Change):
    """Changes of a rule. null resets a field with a default to it; the other fields always have a value."""

    source: MetricSource | None = None
    metric: Metric | None = None
    comparator: Comparator | None = None
    threshold: Threshold | None = None
    step: Step | None = None
    min_replicas: Replicas | None = None
    """null: 1."""
    max_replicas: Replicas | None = None
    cooldown_s: Cooldown | None = None
    """null: 300."""
    enabled: bool | None = None
    """null: true."""

    @model_validator(mode="after")
    def _always_there(self) -> Self:
        for name in sorted(self.model_fields_set):
            if getattr(self, name) is None and RuleSpec.model_fields[name].is_required():
                raise Refused(None, "a value, since every rule has one", below=name)
        return self

    def applied(self, spec: RuleSpec) -> RuleSpec:
        """Return the changed rule. Raises ValidationError."""
        changed = spec.model_dump() | self.model_dump(exclude_unset=True)
        return RuleSpec.model_validate({name: value for name, value in changed.items() if value is not None})


class RuleView(Changeable):
    """A rule and its last evaluation."""

    id: RuleId
    spec: Annotated[RuleSpec, as_stored(RuleSpec)]
    created_at: AwareDatetime
    outcome: RuleOutcome | None = None
    """The autoscaler's last evaluation; None before the first."""
