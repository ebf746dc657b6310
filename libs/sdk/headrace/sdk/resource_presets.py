"""Resource presets: named sizes of slots."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from headrace.common.contracts.http.resource_presets import (
    CreateResourcePreset,
    ResourcePresetView,
    UpdateResourcePreset,
)
from headrace.sdk.transport import Transport, segment

_ALL = "/v1/resource-presets"


class ResourcePresets:
    """Client of `/v1/resource-presets`. `project`: the project whose own ones are meant; None: those for all projects."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, body: CreateResourcePreset) -> ResourcePresetView:
        """Create a resource preset (operators; owners for their project)."""
        return self._transport.create(ResourcePresetView, _ALL, body)

    def list(self, *, project: str | None = None) -> Iterator[ResourcePresetView]:
        """Yield those that services of the project may name, its own and those for all; without a project those for all."""
        return self._transport.items(ResourcePresetView, _ALL, {"project": project})

    def get(self, preset: UUID | str, *, project: str | None = None) -> ResourcePresetView:
        """Return one preset, by name or id."""
        return self._transport.one(ResourcePresetView, "GET", _of(preset), query={"project": project})

    def update(
        self, preset: UUID | str, body: UpdateResourcePreset, *, project: str | None = None, if_match: str | None = None
    ) -> ResourcePresetView:
        """Change the fields set in `body`; of the slots only the named ones, None removes a slot. No revision changes."""
        return self._transport.one(
            ResourcePresetView, "PATCH", _of(preset), body=body, query={"project": project}, if_match=if_match
        )

    def delete(self, preset: UUID | str, *, project: str | None = None, if_match: str | None = None) -> None:
        """Delete a preset. No revision changes."""
        self._transport.send("DELETE", _of(preset), query={"project": project}, if_match=if_match)


def _of(preset: UUID | str) -> str:
    return f"{_ALL}/{segment(preset)}"
