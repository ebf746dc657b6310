"""Settings of rollouts: how a new revision takes the place of the one before."""

from __future__ import annotations

from pydantic import ConfigDict

from headrace.common.contracts.rollout import Rollout


class RolloutSettings(Rollout):
    """Rollout settings (see Rollout). A change only changes the named fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
