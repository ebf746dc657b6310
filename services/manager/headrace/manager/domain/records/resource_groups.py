"""Records of resource groups."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class ResourceGroup:
    """A named set of machines."""

    name: str
    created_at: datetime
    projects: tuple[str, ...] | None = None
    """Names of the projects that may use it, as far as the caller sees them; None: all may."""
