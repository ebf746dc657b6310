"""Queries: resource presets, named sizes of slots."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg

from headrace.common.contracts.ids import ProjectId, ResourcePresetId, UserId
from headrace.common.contracts.problems import NameTaken
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.records.resource_presets import ResourcePreset
from headrace.manager.store import rows

SQL = Queries.beside(__file__)


def _preset(row: Mapping[str, Any]) -> ResourcePreset:
    return ResourcePreset(**{**row, "slots": rows.slots(row["slots"]) or {}})


async def lock_for_all(con: Connection) -> None:
    """Lock the presets for all projects against new ones until the transaction ends."""
    await con.execute(SQL.lock_for_all)


async def insert(
    con: Connection,
    preset_id: ResourcePresetId,
    project_id: ProjectId | None,
    name: str,
    description: str,
    slots: Mapping[str, Decimal],
    user_id: UserId,
) -> None:
    """Insert a preset. Raises NameTaken."""
    try:
        await con.execute(SQL.insert, preset_id, project_id, name, description, rows.plain(slots), user_id)
    except asyncpg.UniqueViolationError:
        raise NameTaken(f"there is a resource preset {name} already") from None


async def count(con: Connection, project_id: ProjectId | None) -> int:
    """Return the number of the project's own presets; None: of those for all projects."""
    return int(await con.fetchval(SQL.count, project_id))


async def find(con: Connection, reference: str, project_id: ProjectId | None) -> ResourcePreset | None:
    """Return the preset with this id, or with this name among the project's own (None: those for all projects)."""
    row = await con.fetchrow(SQL.find, rows.as_uuid(reference), reference, project_id)
    return _preset(row) if row else None


async def usable(con: Connection, project_id: ProjectId, name: str) -> ResourcePreset | None:
    """Return what services of the project mean by the name."""
    row = await con.fetchrow(SQL.usable, project_id, name)
    return _preset(row) if row else None


async def names(con: Connection, project_id: ProjectId, *, most: int) -> list[str]:
    """Return the first names that services of the project may use."""
    return [row["name"] for row in await con.fetch(SQL.names, project_id, most)]


async def page(con: Connection, project_id: ProjectId | None, *, after: UUID, limit: int) -> list[ResourcePreset]:
    """Return a page of the presets that services of the project may name; None: those for all projects."""
    return [_preset(row) for row in await con.fetch(SQL.page, project_id, after, limit)]


async def hold(con: Connection, preset_id: ResourcePresetId) -> bool:
    """Lock the preset until the transaction ends; False when it is gone."""
    return await con.fetchval(SQL.hold, preset_id) is not None


async def update(con: Connection, preset_id: ResourcePresetId, description: str, slots: Mapping[str, Decimal]) -> None:
    """Update description and slots."""
    await con.execute(SQL.update, preset_id, description, rows.plain(slots))


async def delete(con: Connection, preset_id: ResourcePresetId) -> None:
    """Delete a preset."""
    await con.execute(SQL.delete, preset_id)


async def delete_all(con: Connection, project_id: ProjectId) -> None:
    """Delete the project's own presets."""
    await con.execute(SQL.delete_all, project_id)
