"""Records of projects and their members."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from headrace.common.contracts.ids import (
    ProjectId,
    UserId,
)
from headrace.common.contracts.vocabulary import HolderKind, Role


@dataclass(frozen=True)
class Project:
    """A project: a tenant."""

    id: ProjectId
    name: str
    description: str
    quota: dict[str, Decimal] | None
    created_at: datetime


@dataclass(frozen=True)
class ProjectCapacity:
    """Quota, counts and resource group of a project, which decide whether it takes another service."""

    project: Project
    services: int
    """Number of live services."""
    has_group: bool
    """Whether the resource group exists."""


@dataclass(frozen=True)
class UsageHolder:
    """A service, trial run or folder that holds some of a project's quota."""

    kind: HolderKind
    id: UUID
    name: str
    owner: str
    """User that made it; empty where that is not known."""
    replicas: int
    slots: dict[str, Decimal]
    """Of each replica."""
    bytes: int
    files: int


@dataclass(frozen=True)
class Member:
    """A user's role in a project."""

    user_id: UserId
    name: str
    role: Role
