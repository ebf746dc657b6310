"""Queries: resource groups."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import asyncpg

from headrace.common.contracts.ids import ProjectId
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.access import Actor
from headrace.manager.domain.records.projects import DEFAULT_GROUP
from headrace.manager.domain.records.resource_groups import ResourceGroup
from headrace.manager.store import rows

SQL = Queries.beside(__file__)


async def lock(con: Connection) -> None:
    """Lock the groups against new ones until the transaction ends."""
    await con.execute(SQL.lock)


async def count(con: Connection) -> int:
    """Return the number of groups."""
    return int(await con.fetchval(SQL.count))


async def insert(con: Connection, name: str, projects: Sequence[ProjectId] | None) -> bool:
    """Insert a group for these projects (None: for all); False when there is one of that name."""
    return await con.fetchval(SQL.insert, name, projects) is not None


async def set_projects(con: Connection, name: str, projects: Sequence[ProjectId] | None) -> None:
    """Set the projects that may use a group (None: all)."""
    await con.execute(SQL.set_projects, name, projects)


async def page(con: Connection, actor: Actor, *, after: str, limit: int) -> list[ResourceGroup]:
    """Return a page of groups, by name."""
    return [_group(row) for row in await con.fetch(SQL.page, after, limit, *rows.visibility(actor), None)]


async def one(con: Connection, actor: Actor, name: str) -> ResourceGroup | None:
    """Return one group."""
    row = await con.fetchrow(SQL.page, "", 1, *rows.visibility(actor), name)
    return _group(row) if row else None


def _group(row: Mapping[str, Any]) -> ResourceGroup:
    return ResourceGroup(row["name"], row["created_at"], None if row["projects"] is None else tuple(row["projects"]))


async def allowed(con: Connection, name: str, project_id: ProjectId) -> bool | None:
    """Return whether the project may use the group; None when there is no such group."""
    found: bool | None = await con.fetchval(SQL.allowed, name, project_id)
    return found


async def usable(con: Connection, project_id: ProjectId | None, *, most: int) -> list[str]:
    """Return the first names of the groups that the project may use (None: of all)."""
    return [row["name"] for row in await con.fetch(SQL.usable, project_id, most)]


async def of_projects(
    con: Connection, project_ids: Iterable[ProjectId], asked: str | None
) -> dict[ProjectId, tuple[str, bool]]:
    """Return of each project the group of what it makes and asks for this one (None: for none), and whether it may use it."""
    rows = await con.fetch(SQL.of_projects, list(project_ids), asked, DEFAULT_GROUP)
    return {row["id"]: (row["name"], row["allowed"]) for row in rows}


async def hold(con: Connection, name: str) -> bool:
    """Lock the group until the transaction ends, so that nothing is put into it; False when there is none."""
    return await con.fetchval(SQL.hold, name) is not None


async def users(con: Connection, name: str) -> tuple[int, int, int]:
    """Return how many machines and living services are in the group, and how many projects have it as their default."""
    row = await con.fetchrow(SQL.users, name)
    return row["machines"], row["services"], row["projects"]


async def delete(con: Connection, name: str) -> bool:
    """Delete a group; False when kept rows still name it. The transaction is over then."""
    try:
        await con.execute(SQL.delete, name)
    except asyncpg.ForeignKeyViolationError:
        return False
    return True
