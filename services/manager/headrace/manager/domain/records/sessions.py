"""Records of sessions and their services, as the services loop reads them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace.common.contracts.ids import ProjectId, RevisionId, ServiceId, SessionId, UserId
from headrace.common.contracts.messages.plans import SessionKind
from headrace.common.contracts.vocabulary import SessionStatus
from headrace.manager.domain.records.rollouts import RolloutState
from headrace.manager.domain.records.services import Goal


@dataclass(frozen=True)
class ReconciledService:
    """A service as the services loop reads it."""

    id: ServiceId
    goal: Goal
    wanted: int
    revision_id: RevisionId
    drain_grace_s: float
    failed_starts: int
    next_start_at: datetime | None
    problem: str | None
    rev: int
    project_id: ProjectId
    resource_group: str
    created_by: UserId
    last_failed_at: datetime | None
    served_revision_id: RevisionId | None
    rollout: dict[str, Any]
    ends: int
    ends_held: int
    next_restart_at: datetime | None
    last_end_at: datetime | None
    state: RolloutState


@dataclass(frozen=True)
class ObservedRevs:
    """Row versions of a service and its live sessions, as read by a pass.

    A write that finds others is dropped: the next pass reads and decides again.
    """

    service: int
    live: Mapping[SessionId, int]


@dataclass(frozen=True)
class LiveSession:
    """A live session with its main kernel, as the services loop reads it."""

    id: SessionId
    kind: SessionKind
    service_id: ServiceId | None
    revision_id: RevisionId | None
    status: SessionStatus
    health: Any
    was_healthy: bool
    reason_code: str
    reason_text: str
    created_at: datetime
    placed_at: datetime | None
    drain_deadline: datetime | None
    drain_generation: int | None
    rev: int
    resolved: dict[str, Any] | None
    kernel_state: Any
    kernel_code: str | None
    kernel_text: str | None
    healthy_at: datetime | None
    failures: int
    lost: bool
    moving: bool
    replace_asked_at: datetime | None
    idle: bool
