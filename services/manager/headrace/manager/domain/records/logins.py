"""Records of logins, of their codes, and of passwords."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import KeyId, LoginId
from headrace.common.contracts.vocabulary import LoginForm, LoginMethod
from headrace.manager.domain.records.keys import KeyLimits
from headrace.manager.domain.records.users import User


@dataclass(frozen=True)
class Login:
    """A login without its secret."""

    id: LoginId
    method: LoginMethod
    form: LoginForm
    source_address: str
    user_agent: str
    key_id: KeyId | None
    created_at: datetime
    last_used_at: datetime
    ends_at: datetime
    """Of its lifetime, or of the time without a request, whichever is earlier."""


@dataclass(frozen=True)
class StoredLogin:
    """A login with the hash of its secret, for authentication."""

    secret_hash: bytes
    form: LoginForm
    over: bool
    """Whether it, or the key that it came from, has ended."""
    stale: bool
    """Whether its last use is to be noted."""
    key_id: KeyId | None
    limits: KeyLimits
    """Of the key that it came from."""
    user: User


@dataclass(frozen=True)
class StoredCode:
    """A one-time code that was just taken, with the hash of its secret."""

    secret_hash: bytes
    expired: bool
    key_id: KeyId | None
    user: User


@dataclass(frozen=True)
class StoredPassword:
    """A user with the hash of the password; None: there is none."""

    user: User
    hash: str | None
