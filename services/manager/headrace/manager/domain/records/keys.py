"""Records of API keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import KeyId
from headrace.manager.domain.records.users import User


@dataclass(frozen=True)
class StoredKey:
    """The stored side of an API key, against which a caller's secret is checked."""

    secret_hash: bytes
    expired: bool
    ends_at: datetime | None
    user: User


@dataclass(frozen=True)
class KeyEnd:
    """When a key ends, and what time it is in the database, by which that is judged."""

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
