"""How a rollout stands, and why it failed."""

from __future__ import annotations

from headrace.common.contracts.reasons import ReasonCode


class RolloutReason(ReasonCode):
    """Rollouts: how the rollout of a service's current revision stands, and why one failed."""

    ROLLOUT_COMPLETE = "rollout-complete", "the current revision serves alone, or there was none before it"
    ROLLOUT_PROGRESSING = "rollout-progressing", "replicas of the current revision take the place of older ones"
    ROLLOUT_STEP_WAITING = "rollout-step-waiting", "a step is reached, and the next one begins when its pause is over"
    ROLLOUT_AWAITING_PROMOTION = "rollout-awaiting-promotion", "it goes on when a user promotes it"
    ROLLOUT_PAUSED = "rollout-paused", "a user paused it"
    ROLLOUT_STARTS_FAILED = "rollout-starts-failed", "too many starts of the new revision failed in a row"
    ROLLOUT_DEADLINE_EXCEEDED = (
        "rollout-deadline-exceeded",
        "no further replica became ready within `rollout.progress_deadline_s`",
    )
    ROLLOUT_ABORTED = "rollout-aborted", "a user aborted it"
