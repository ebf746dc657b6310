"""How a new revision takes the place of the one before, as it is stored with a service.

REST settings (closed) and the services loop share it.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict

from headrace.common.contracts.numbers import NO_TRUTH


class Rollout(BaseModel):
    """Rollout strategy, and the action after a failed rollout."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    on_failure: Literal["keep", "roll-back"] = "keep"
    """keep: the revision that served goes on serving, and the service reports the failed rollout. roll-back: it
    automatically becomes the current one again."""
    max_unavailable: Annotated[Literal[0, 1], NO_TRUTH] = 1
    """Replicas that a rollout may take out of service when a new one fits on no machine otherwise, for example because
    the service itself holds all GPUs."""
