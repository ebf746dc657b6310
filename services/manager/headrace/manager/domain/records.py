"""Rows as the manager's code sees them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from headrace.common.contracts.ids import FolderId, KernelId, ProjectId, RevisionId, ServiceId, SessionId, UserId
from headrace.common.contracts.messages.plans import SessionKind
from headrace.common.contracts.messages.reports import HealthStatus, KernelState
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.vocabulary import SessionStatus, UsageMode
from headrace.manager.domain.variants.resolved_spec import ResolvedSpec

Goal = Literal["running", "stopped", "deleting"]


@dataclass(frozen=True)
class Project:
    """A tenant."""

    id: ProjectId
    name: str
    description: str
    quota: dict[str, Decimal] | None
    created_at: datetime


@dataclass(frozen=True)
class User:
    """A person or program."""

    id: UserId
    name: str
    operator: bool
    created_at: datetime


@dataclass(frozen=True)
class Folder:
    """A folder that is not deleted."""

    id: FolderId
    project_id: ProjectId
    name: str
    usage_mode: UsageMode
    created_at: datetime


@dataclass(frozen=True)
class Upload:
    """A file on its way into a folder."""

    id: UUID
    folder_id: FolderId
    path: str
    size_bytes: int
    sha256: str | None
    created_at: datetime
    modified_ns: int | None = None
    """When the file was changed where it came from."""


@dataclass(frozen=True)
class Service:
    """A service as it is wanted."""

    id: ServiceId
    project_id: ProjectId
    name: str
    description: str
    wanted: int
    goal: Goal
    open_to_public: bool
    resource_group: str
    revision_id: RevisionId
    metadata: dict[str, str]
    tags: tuple[str, ...]
    drain_grace_s: float
    endpoint_port: int | None
    balance: dict[str, Any]
    """What differs from the default; so with the limits."""
    limits: dict[str, Any]
    caller_limits: dict[str, Any]
    models: tuple[str, ...]
    cors: dict[str, Any]
    rollout: dict[str, Any]
    served_revision_id: RevisionId | None
    failed_starts: int
    next_start_at: datetime | None
    ends: int
    next_restart_at: datetime | None
    last_end_at: datetime | None
    problem: str | None
    """Why the services loop cannot handle it."""
    rev: int
    created_by: UserId
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class Revision:
    """One immutable revision."""

    id: RevisionId
    service_id: ServiceId
    number: int
    spec: RevisionSpec
    resolved: ResolvedSpec
    message: str
    created_by: str
    created_at: datetime


@dataclass(frozen=True)
class Replica:
    """A session and its main kernel, as views and status need them. Kernel fields are None before placement."""

    id: SessionId
    kind: SessionKind
    service_id: ServiceId | None
    revision_id: RevisionId | None
    revision: int
    status: SessionStatus
    health: HealthStatus
    was_healthy: bool
    reason_code: str
    reason_text: str
    created_at: datetime
    ended_at: datetime | None
    kernel_id: KernelId | None
    agent_id: str | None
    kernel_state: KernelState | None
    host: str | None
    port: int | None
    weight: int


@dataclass(frozen=True)
class StartError:
    """A failed start that was not cleared."""

    at: datetime
    session_id: SessionId
    reason_code: str
    reason_text: str


@dataclass(frozen=True)
class Event:
    """One line of history."""

    id: UUID
    at: datetime
    actor: str
    action: str
    message: str
    details: dict[str, Any]
