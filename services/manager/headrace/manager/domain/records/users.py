"""Records of users."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import UserId


@dataclass(frozen=True)
class User:
    """A user: a person or program."""

    id: UserId
    name: str
    operator: bool
    created_at: datetime
    has_password: bool = False
    """Where it was asked for."""
    disabled_at: datetime | None = None
    """Since when keys, password and logins are refused."""
