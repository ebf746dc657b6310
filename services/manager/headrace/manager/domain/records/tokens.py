"""Records of tokens, and changes of callers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace.common.contracts.ids import TokenId
from headrace.common.contracts.messages.routes import RateLimits


@dataclass(frozen=True)
class Token:
    """A token without its secret."""

    id: TokenId
    name: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    limits: RateLimits
    share: int
    last_used_at: datetime | None


@dataclass(frozen=True)
class CallerChange:
    """Changes of a token or a named client."""

    limits: Mapping[str, Any] | None
    """Limits to set (None among them: to remove); None: unchanged."""
    clear: bool
    """Whether all limits are removed."""
    share: int | None
