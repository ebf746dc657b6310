"""Resource presets: named sizes of slots, of one project or for all projects."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AwareDatetime, Field, StringConstraints, model_validator

from headrace.common.contracts.http.page import Body, Change, Changeable
from headrace.common.contracts.ids import ProjectId, ResourcePresetId, Slug
from headrace.common.contracts.slots import RequestedSlots, RequestedSlotsChange, ResourceSlots
from headrace.common.contracts.wording import Refused

_Description = Annotated[str, StringConstraints(max_length=4000)]


class CreateResourcePreset(Body):
    """A new resource preset, which services name as their `size`."""

    name: Slug
    project: Annotated[str | None, StringConstraints(min_length=1, max_length=64)] = None
    """Name or id of the project whose own it is; left out: it is for all projects."""
    description: _Description = ""
    slots: Annotated[RequestedSlots, Field(min_length=1)]


class UpdateResourcePreset(Change):
    """Changes of a resource preset. Revisions that were made with it keep their amounts; the next one gets the new ones."""

    description: _Description | None = None
    slots: RequestedSlotsChange | None = None
    """Named slots change, null removes a slot; one is left at least."""

    @model_validator(mode="after")
    def _has_slots(self) -> Self:
        if "slots" in self.model_fields_set and self.slots is None:
            raise Refused(None, "amounts by slot, or the field left out: they stay as they are then", below="slots")
        return self


class ResourcePresetView(Changeable):
    """A resource preset."""

    id: ResourcePresetId
    name: str
    project_id: ProjectId | None
    """None: for all projects. Where both have a name, services of the project get the project's own."""
    project: str | None
    description: str
    slots: ResourceSlots
    created_by: str
    created_at: AwareDatetime
    updated_at: AwareDatetime
