"""Records of API keys."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import KeyId
from headrace.manager.domain.records.users import User


@dataclass(frozen=True)
class StoredKey:
    """An API key with the hash of its secret, for authentication."""

    secret_hash: bytes
    expired: bool
    ends_at: datetime | None
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
