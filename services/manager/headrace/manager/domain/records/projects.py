"""Records of projects and their members."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from headrace.common.contracts.ids import (
    ProjectId,
    UserId,
)
from headrace.common.contracts.origin import Origin
from headrace.common.contracts.vocabulary import HolderKind, Role

DEFAULT_GROUP: Final = "default"
"""Resource group of what names none."""


@dataclass(frozen=True)
class Project:
    """A project: a tenant."""

    id: ProjectId
    name: str
    description: str
    quota: dict[str, Decimal] | None
    created_at: datetime
    resource_group: str | None = None
    """Group of its services that name none; None: the default one."""
    features_off: tuple[str, ...] = ()
    """What operators have switched off for it, by name."""


def group_of(asked: str | None, project: Project) -> str:
    """Return the resource group of what is made in the project and asks for this one (None: for none)."""
    return asked or project.resource_group or DEFAULT_GROUP


def origin_of_group(asked: str | None, project: Project) -> Origin:
    """Return where that group comes from."""
    if asked:
        return Origin(source="request", path="resource_group")
    return Origin(source="project", path="resource_group") if project.resource_group else Origin(source="baseline")


@dataclass(frozen=True)
class ProjectContents:
    """How many services and folders a project has."""

    services: int
    folders: int
    trashed: int
    """Deleted folders that can be restored."""


@dataclass(frozen=True)
class ProjectCapacity:
    """Quota, counts and resource group of a project, which decide whether it takes another service."""

    project: Project
    services: int
    """Number of live services."""
    group_allowed: bool | None
    """Whether the project may use the resource group; None: there is no such group."""


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
