"""How a new revision takes the place of the one before, and how replicas end in operation."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, ConfigDict

from headrace.common.contracts.http.page import View
from headrace.common.contracts.ids import AgentId, SessionId
from headrace.common.contracts.reasons import Reason, said_of
from headrace.common.contracts.rollout import Rollout


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
    reason: Annotated[Reason, said_of("kernel", "session")]
    """With the last lines of its log, as far as its machine had them."""
    exit_code: int | None
    signal: str | None
    """Name of the signal that ended it."""
