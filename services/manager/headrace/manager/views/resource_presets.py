"""Views of resource presets."""

from __future__ import annotations

from headrace.common.contracts.http.resource_presets import ResourcePresetView
from headrace.manager.domain.entity_tags import tag_of_preset
from headrace.manager.domain.records.resource_presets import ResourcePreset


def resource_preset_view(preset: ResourcePreset) -> ResourcePresetView:
    """Return a resource preset."""
    return ResourcePresetView(
        id=preset.id,
        name=preset.name,
        project_id=preset.project_id,
        project=preset.project,
        description=preset.description,
        slots=dict(preset.slots),
        created_by=preset.created_by,
        created_at=preset.created_at,
        updated_at=preset.updated_at,
        etag=tag_of_preset(preset),
    )
