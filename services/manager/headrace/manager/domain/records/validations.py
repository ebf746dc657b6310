"""Records of trial runs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import ProjectId, SessionId
from headrace.common.contracts.vocabulary import Role, SessionStatus


@dataclass(frozen=True)
class TrialRun:
    """A validation, and the caller's role in its project."""

    id: SessionId
    project_id: ProjectId
    project: str
    status: SessionStatus
    was_healthy: bool
    created_at: datetime
    role: Role | None
    reason_code: str
    reason_text: str
