"""Records of resource presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from headrace.common.contracts.ids import ProjectId, ResourcePresetId


@dataclass(frozen=True)
class ResourcePreset:
    """A named size of slots."""

    id: ResourcePresetId
    name: str
    project_id: ProjectId | None
    """None: for all projects."""
    project: str | None
    description: str
    slots: Mapping[str, Decimal]
    created_by: str
    created_at: datetime
    updated_at: datetime
