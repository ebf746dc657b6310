"""Records of services."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from headrace.common.contracts.ids import (
    ProjectId,
    RevisionId,
    ServiceId,
    UserId,
)
from headrace.common.contracts.model import ModelMetadata
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.vocabulary import Role
from headrace.manager.domain.records.events import Scope
from headrace.manager.domain.records.projects import Project
from headrace.manager.domain.records.rollouts import RolloutState
from headrace.manager.domain.variants.resolved_spec import Resolution, ResolvedSpec

Goal = Literal["running", "stopped", "deleting"]


@dataclass(frozen=True)
class Service:
    """A service's desired state."""

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
class ServiceFacts:
    """A service joined with what decisions and views need beside its own columns."""

    service: Service
    project: str
    creator: str
    revision: int
    resolved: ResolvedSpec
    role: Role | None = None
    served: int | None = None
    """Number of the last revision that served alone."""
    published: int | None = None
    """Newest generation of its route table; None before the first."""
    published_at: datetime | None = None
    routes_problem: str | None = None
    """Why its newest route table cannot be built."""
    rules_problem: str | None = None
    """Why its newest rule table cannot be built."""
    last_error: str | None = None
    """Text of its newest failed start, while starts of its current revision fail."""
    rollout: RolloutState = field(default_factory=RolloutState)
    """State of the rollout of its current revision."""
    metadata: ModelMetadata | None = None
    """What its model definition says of the model, where it is asked for alone."""

    @property
    def scope(self) -> Scope:
        """What changes of it belong to."""
        return Scope(self.service.project_id, self.service.id)

    @property
    def running(self) -> bool:
        """Whether replicas of it are wanted; otherwise it is stopped, or being deleted."""
        return self.service.goal == "running"


@dataclass(frozen=True)
class Documents:
    """Changes of a service's settings that are JSON documents; None: unchanged. A null in a document removes its key."""

    balance: Mapping[str, Any] | None = None
    limits: Mapping[str, Any] | None = None
    caller_limits: Mapping[str, Any] | None = None
    rollout: Mapping[str, Any] | None = None
    cors: Mapping[str, Any] | None = None
    models: tuple[str, ...] | None = None
    """All of them."""
    reset: frozenset[str] = frozenset()
    """Which of the others go back to their defaults first."""


@dataclass(frozen=True)
class NewService:
    """A service to create, with its first revision."""

    id: ServiceId
    project: Project
    name: str
    description: str
    wanted: int
    open_to_public: bool
    resource_group: str
    metadata: Mapping[str, str]
    tags: tuple[str, ...]
    drain_grace_s: float
    endpoint_port: int | None
    documents: Documents
    revision_id: RevisionId
    spec: RevisionSpec
    resolution: Resolution
    asked: Mapping[str, Any]
    """The request, for the history."""

    @property
    def resolved(self) -> ResolvedSpec:
        """What its replicas are started with."""
        return self.resolution.spec


@dataclass(frozen=True)
class ServiceChange:
    """Changes of a service's own columns; None: unchanged."""

    description: str | None = None
    wanted: int | None = None
    open_to_public: bool | None = None
    metadata: Mapping[str, str] | None = None
    tags: tuple[str, ...] | None = None
    drain_grace_s: float | None = None
    endpoint_port: int | None = None
    """New own port; 0 removes it."""


@dataclass(frozen=True)
class ScaleTarget:
    """State of a service that decides whether a rule may scale it."""

    name: str
    wanted: int
    goal: Goal
    project_id: ProjectId
    slots: Mapping[str, Decimal]
    rule_exists: bool
