"""Records of history events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID


@dataclass(frozen=True)
class Event:
    """One history event."""

    id: UUID
    at: datetime
    actor: str
    action: str
    message: str
    details: dict[str, Any]
