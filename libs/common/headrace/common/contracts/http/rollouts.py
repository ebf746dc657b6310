"""Settings of rollouts: how a new revision takes the place of the one before."""

from __future__ import annotations

from pydantic import ConfigDict

from headrace.common.contracts.rollout import Rollout


class RolloutSettings(Rollout):
    """As Rollout. In a change what is named is changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
