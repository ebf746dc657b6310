"""Records of rollouts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.reasons import Reason


@dataclass(frozen=True)
class RolloutState:
    """State of the rollout of a service's current revision, beside what its replicas show."""

    began_at: datetime | None = None
    """None for a revision from before rollouts were recorded."""
    step: int = 0
    """Steps that are over."""
    step_at: datetime | None = None
    """Time at which the present step began, or the rollout was resumed."""
    paused_replicas: int | None = None
    """Replicas of the current revision when it was paused: it gets no more until it is resumed. None: not paused."""
    paused_by: str | None = None
    failed: Reason | None = None
    """Why it failed, if it was not rolled back."""
    failed_at: datetime | None = None


@dataclass(frozen=True)
class FailedRollout:
    """A rollout that failed or was aborted."""

    revision: int
    at: datetime
    reason: Reason
