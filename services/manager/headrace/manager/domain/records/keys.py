"""Records of API keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import KeyId, ProjectId
from headrace.manager.domain.records.users import User


@dataclass(frozen=True)
class KeyLimits:
    """What limits a key: its end, and what it may."""

    ends_at: datetime | None = None
    read_only: bool = False
    projects: tuple[ProjectId, ...] | None = None
    """None: not limited to projects."""


@dataclass(frozen=True)
class StoredKey:
    """An API key with the hash of its secret, for authentication."""

    secret_hash: bytes
    expired: bool
    stale: bool
    """Whether its last use is to be noted."""
    limits: KeyLimits
    user: User


@dataclass(frozen=True)
class KeyEnd:
    """Expiry of a key, and the database's current time, by which it is judged."""

    there: bool
    ends_at: datetime | None
    now: datetime


@dataclass(frozen=True)
class Key:
    """An API key without its secret."""

    id: KeyId
    name: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    read_only: bool
    projects: tuple[str, ...] | None
    """Names of the projects that it is limited to, as far as they exist; None: it is not limited."""


@dataclass(frozen=True)
class KeyChange:
    """Change of a key; what is not given stays."""

    name: str | None = None
    set_end: bool = False
    ends_at: datetime | None = None
    read_only: bool | None = None
    set_projects: bool = False
    projects: tuple[ProjectId, ...] | None = None
