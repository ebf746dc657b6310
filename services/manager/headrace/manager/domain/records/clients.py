"""Records of named clients."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import ClientId
from headrace.common.contracts.messages.routes import RateLimits


@dataclass(frozen=True)
class Client:
    """A named client without its secret."""

    id: ClientId
    name: str
    limits: RateLimits
    share: int
    created_by: str
    created_at: datetime
    rotated_at: datetime | None
    last_used_at: datetime | None
