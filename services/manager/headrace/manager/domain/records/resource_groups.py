"""Records of resource groups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class ResourceGroup:
    """A named set of machines."""

    name: str
    created_at: datetime
