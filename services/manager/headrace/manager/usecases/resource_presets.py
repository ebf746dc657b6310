"""Use cases of resource presets: operators keep those for all projects, owners those of their project.

Revisions keep the amounts that they were made with, so that a change or a deletion replaces no replica.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from uuid import UUID

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.resource_presets import (
    CreateResourcePreset,
    ResourcePresetView,
    UpdateResourcePreset,
)
from headrace.common.contracts.ids import ResourcePresetId, new_uuid
from headrace.common.contracts.problems import InvalidRequest, NotFound
from headrace.common.contracts.slots import parse_request
from headrace.common.contracts.wording import Refused
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain import access, object_limits
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import ResourcePresetState
from headrace.manager.domain.entity_tags import tag_of_preset
from headrace.manager.domain.object_limits import ObjectLimits
from headrace.manager.domain.records.events import Scope
from headrace.manager.domain.records.projects import Project
from headrace.manager.domain.records.resource_presets import ResourcePreset
from headrace.manager.store import projects, resource_presets
from headrace.manager.usecases.context import authorise, check_match, make_page, operators_only, project_for, record_of
from headrace.manager.usecases.idempotency import keep
from headrace.manager.views.resource_presets import resource_preset_view


class ResourcePresets:
    """Use cases of resource presets."""

    def __init__(self, pool: Pool, limits: ObjectLimits) -> None:
        self._pool = pool
        self._limits = limits

    async def create(self, actor: Actor, new: CreateResourcePreset) -> ResourcePresetView:
        """Create a preset. Raises NotFound, Forbidden, NameTaken, Conflict when there are too many."""
        async with transaction(self._pool) as con:
            project = await self._scope(con, actor, new.project)
            project_id = project.id if project else None
            whose = f"project {project.name}" if project else "all projects"
            there = await resource_presets.count(con, project_id)
            object_limits.check(whose, "resource presets", there, self._limits.resource_presets_per_project)
            preset_id = ResourcePresetId(new_uuid())
            await resource_presets.insert(
                con, preset_id, project_id, new.name, new.description, new.slots, actor.user_id
            )
            made = await _found(con, str(preset_id))
            await _record(con, actor, "resource-preset.created", None, made)
            view = resource_preset_view(made)
            await keep(con, actor, view)
        return view

    async def page(self, actor: Actor, *, project: str | None, after: UUID, limit: int) -> Page[ResourcePresetView]:
        """Return the presets that services of the project may name, or those for all projects. Raises NotFound."""
        async with self._pool.acquire() as con:
            project_id = None if project is None else (await project_for(con, actor, project, "viewer")).id
            found = await resource_presets.page(con, project_id, after=after, limit=limit + 1)
        return make_page(found, limit, resource_preset_view, lambda preset: preset.id)

    async def show(self, actor: Actor, reference: str, project: str | None) -> ResourcePresetView:
        """Return one preset. Raises NotFound."""
        async with self._pool.acquire() as con:
            return resource_preset_view(await _preset(con, actor, reference, project))

    async def update(
        self, actor: Actor, reference: str, project: str | None, change: UpdateResourcePreset
    ) -> ResourcePresetView:
        """Change description and slots. Raises NotFound, Forbidden, InvalidRequest for slots that do not go together."""
        async with transaction(self._pool) as con:
            held = await _held(con, actor, reference, project)
            description = held.description
            if "description" in change.model_fields_set:
                description = change.description or ""
            slots = _changed(held.slots, change.slots or {})
            await resource_presets.update(con, held.id, description, slots)
            after = await _found(con, str(held.id))
            await _record(con, actor, "resource-preset.updated", held, after)
            return resource_preset_view(after)

    async def delete(self, actor: Actor, reference: str, project: str | None) -> None:
        """Delete a preset; revisions that name it stay as they are. Raises NotFound, Forbidden."""
        async with transaction(self._pool) as con:
            held = await _held(con, actor, reference, project)
            await resource_presets.delete(con, held.id)
            await _record(con, actor, "resource-preset.deleted", held, None)

    async def _scope(self, con: Connection, actor: Actor, reference: str | None) -> Project | None:
        """Return the project of a new preset, None: for all; it is locked, so that the number of presets holds."""
        if reference is None:
            operators_only(actor, "make resource presets for all projects; owners may for their project (`project`)")
            await resource_presets.lock_for_all(con)
            return None
        project = await project_for(con, actor, reference, "owner")
        if await projects.lock(con, project.id) is None:
            raise NotFound(f"there is no project {reference}")
        return project


def _changed(before: Mapping[str, Decimal], change: Mapping[str, Decimal | None]) -> dict[str, Decimal]:
    """Return the slots after a change. Raises InvalidRequest where they do not go together, or none is left."""
    slots = {name: amount for name, amount in {**before, **change}.items() if amount is not None}
    if not slots:
        raise InvalidRequest.of("slots", "none that is left", "one or more; or delete the preset instead")
    try:
        parse_request(slots)
    except Refused as refused:
        raise InvalidRequest.of("slots", refused.found, refused.allowed) from None
    return slots


async def _found(con: Connection, reference: str) -> ResourcePreset:
    found = await resource_presets.find(con, reference, None)
    if found is None:
        raise NotFound(f"there is no resource preset {reference}")
    return found


async def _preset(
    con: Connection, actor: Actor, reference: str, project: str | None, *, change: bool = False
) -> ResourcePreset:
    """Return the preset: by id, or by name of the project's own, without a project of those for all.

    Raises NotFound when the caller may not see it, Forbidden.
    """
    scope = None if project is None else await project_for(con, actor, project, "viewer")
    found = await resource_presets.find(con, reference, scope.id if scope else None)
    whose = f"project {scope.name} has no resource preset {reference} of its own" if scope else None
    missing = NotFound(whose or f"there is no resource preset {reference} for all projects")
    if found is None:
        raise missing
    if found.project_id is None:
        if change:
            operators_only(actor, "change and delete resource presets for all projects")
        return found
    seen = await projects.find(con, str(found.project_id), actor)
    if seen is None or not access.sees(actor, seen[1]):
        raise missing
    authorise(actor, seen[0].name, seen[1], "owner" if change else "viewer")
    return found


async def _held(con: Connection, actor: Actor, reference: str, project: str | None) -> ResourcePreset:
    """Return a preset that the caller may change, locked until the transaction ends. Raises NotFound, Forbidden."""
    found = await _preset(con, actor, reference, project, change=True)
    await resource_presets.hold(con, found.id)
    held = await _found(con, str(found.id))
    check_match(actor, f"resource preset {held.name}", tag_of_preset(held))
    return held


async def _record(
    con: Connection, actor: Actor, action: str, before: ResourcePreset | None, after: ResourcePreset | None
) -> None:
    preset = after or before
    assert preset is not None  # noqa: S101 - it was there before, or is now
    was, now = (ResourcePresetState.of(one) if one else None for one in (before, after))
    scope, which = Scope(preset.project_id), str(preset.id)
    await record_of(
        con, actor, action, scope, before=was, after=now, resource_preset=preset.name, resource_preset_id=which
    )
