"""Records of history events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from headrace.common.contracts.ids import ProjectId, ServiceId


@dataclass(frozen=True)
class Scope:
    """What a change belongs to: the installation, a project, or a service of a project."""

    project_id: ProjectId | None = None
    service_id: ServiceId | None = None


INSTALLATION: Final = Scope()


@dataclass(frozen=True)
class Event:
    """One history event."""

    id: UUID
    at: datetime
    actor: str
    action: str
    message: str
    details: dict[str, Any]


@dataclass(frozen=True)
class AuditedEvent:
    """Event with where it came from, and the names of what it was about as far as they exist."""

    id: UUID
    at: datetime
    actor: str
    source_address: str
    action: str
    project_id: UUID | None
    project: str | None
    service_id: UUID | None
    service: str | None
    message: str
    details: dict[str, Any]
    key_id: UUID | None
    key: str | None
    login_id: UUID | None
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True)
class AuditFilter:
    """What is asked of the audit log; None: everything."""

    project_id: UUID | None = None
    service_id: UUID | None = None
    agent: str | None = None
    actor: str | None = None
    action: str | None = None
    """An action, or the beginning of several, with a `*` after it."""
    since: datetime | None = None
    until: datetime | None = None
