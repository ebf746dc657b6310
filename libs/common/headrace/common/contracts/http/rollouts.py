"""How a new revision takes the place of the one before, and how replicas end in operation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from headrace.common.contracts.http.page import NO_TRUTH, View
from headrace.common.contracts.ids import AgentId, SessionId
from headrace.common.contracts.reasons import Reason


class Rollout(BaseModel):
    """What a rollout may do, and what becomes of one that fails."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    on_failure: Literal["keep", "roll-back"] = "keep"
    """keep: the revision that served goes on serving, and the service says that the rollout failed. roll-back: it becomes the
    current one again by itself."""
    max_unavailable: Annotated[Literal[0, 1], NO_TRUTH] = 1
    """How many of the wanted replicas a rollout may give up when a new one finds no machine otherwise, for example because the
    service itself holds all GPUs."""


class RolloutSettings(Rollout):
    """As Rollout. In a change what is named is changed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class ReplicaEnd(View):
    """How a replica ended in operation: after it had served, or of a revision that had. The newest 100 of a service are kept."""

    at: AwareDatetime
    session_id: SessionId
    revision: int
    agent_id: AgentId | None
    started_at: AwareDatetime
    reason: Reason
    """With the last lines of its log, as far as its machine had them."""
    exit_code: int | None
    signal: str | None
    """Name of the signal that ended it."""
