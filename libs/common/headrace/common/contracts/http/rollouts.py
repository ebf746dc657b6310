"""Rollouts: settings of how a new revision takes the place of the one before, and how a rollout stands."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, ConfigDict, Field, NonNegativeInt

from headrace.common.contracts.http.page import Body, View
from headrace.common.contracts.reasons import Reason, said_of
from headrace.common.contracts.rollout import MAX_STEPS, CanaryStep, Rollout, RolloutPhase


class StepSettings(CanaryStep):
    """A step of a canary rollout (see CanaryStep)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RolloutSettings(Rollout):
    """Rollout settings (see Rollout). A change only changes the named fields; `steps` replaces all steps."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    steps: Annotated[tuple[StepSettings, ...], Field(max_length=MAX_STEPS, strict=False)] = ()


class Promote(Body):
    """Promotion of a rollout."""

    full: bool = False
    """To the end, leaving out the remaining steps."""


class RolloutMessage(Body):
    """Message of a change of a rollout."""

    message: Annotated[str, Field(max_length=4000)] = ""
    """Why, for the history."""


class RolloutSide(View):
    """Replicas of the new, or of all older revisions."""

    replicas: NonNegativeInt
    """Those that serve, start or wait for a machine."""
    ready: NonNegativeInt
    """Those that serve; of the new revision for at least `min_ready_s`."""
    wanted: NonNegativeInt
    """As many as there should be at this step."""


class FailedRollout(View):
    """The newest rollout that failed or was aborted, until another one begins."""

    revision: int
    at: AwareDatetime
    reason: Annotated[Reason, said_of("rollout")]


class RolloutView(View):
    """How the rollout of the current revision stands."""

    revision: int
    """The current revision."""
    from_revision: int | None
    """The revision that served before; None where none did, or the rollout is complete."""
    strategy: Literal["rolling", "canary", "blue-green"]
    phase: RolloutPhase
    reason: Annotated[Reason, said_of("rollout")]
    began_at: AwareDatetime | None
    """None for a revision from before rollouts were recorded."""
    deadline_at: AwareDatetime | None
    """The rollout fails if no further replica is ready then; None while nothing counts against it."""
    paused_by: str | None
    step: NonNegativeInt
    """Steps that are over. A blue-green rollout has one: the switch."""
    steps: NonNegativeInt
    new: RolloutSide
    old: RolloutSide
    last_failed: FailedRollout | None
