"""Queries: projects, their members and their usage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg

from headrace.common.contracts.ids import ProjectId, ServiceId, UserId, new_uuid
from headrace.common.contracts.problems import NameTaken
from headrace.common.contracts.vocabulary import Role
from headrace.common.db.pool import Connection
from headrace.common.db.queries import Queries
from headrace.manager.domain.access import Actor
from headrace.manager.domain.records.projects import Member, Project, ProjectCapacity, ProjectContents, UsageHolder
from headrace.manager.store import rows

SQL = Queries.beside(__file__)


def _project(row: Mapping[str, Any]) -> Project:
    return Project(
        id=row["id"],
        name=row["name"],
        description=row["description"],
        quota=rows.slots(row["quota"]),
        created_at=row["created_at"],
        resource_group=row["resource_group"],
        features_off=tuple(row["features_off"]),
    )


async def insert(
    con: Connection, name: str, description: str, quota: Mapping[str, Decimal] | None, features_off: Sequence[str] = ()
) -> Project:
    """Insert a project. Raises NameTaken."""
    try:
        row = await con.fetchrow(SQL.insert, new_uuid(), name, description, rows.plain(quota), features_off)
    except asyncpg.UniqueViolationError:
        raise NameTaken(f"there is a project {name} already") from None
    return _project(row)


async def find(con: Connection, reference: str, actor: Actor) -> tuple[Project, Role | None] | None:
    """Return the project with this name or id, and the caller's role in it. None also where the caller's key is not good for it."""
    row = await con.fetchrow(SQL.find, rows.as_uuid(reference), reference, actor.user_id, actor.projects)
    return (_project(row), row["role"]) if row else None


async def of_caller(con: Connection, actor: Actor) -> list[tuple[Project, Role]]:
    """Return the projects that the caller is a member of, oldest first."""
    return [(_project(row), row["role"]) for row in await con.fetch(SQL.of_caller, actor.user_id, actor.projects)]


async def visible(con: Connection, actor: Actor, *, after: UUID, limit: int) -> list[Project]:
    """Return a page of the projects that the caller sees."""
    facts = (actor.operator, actor.user_id, after, limit, actor.projects)
    return [_project(row) for row in await con.fetch(SQL.visible, *facts)]


async def lock(con: Connection, project_id: ProjectId) -> Project | None:
    """Lock the project exclusively until the transaction ends, so that one caller at a time counts against its quota.

    Return it.
    """
    row = await con.fetchrow(SQL.lock, project_id)
    return _project(row) if row else None


async def room(con: Connection, project_id: ProjectId, resource_group: str) -> ProjectCapacity | None:
    """Lock the project against change (shared) until the transaction ends; return its capacity, None when it is gone."""
    row = await con.fetchrow(SQL.room, project_id, resource_group)
    return ProjectCapacity(_project(row), row["services"], row["group_allowed"]) if row else None


async def used(
    con: Connection, project_id: ProjectId, *, except_service: ServiceId | None = None
) -> dict[str, Decimal]:
    """Return the project's usage per slot: what its running services want, plus what its trial runs hold."""
    return {row["slot"]: row["amount"] for row in await con.fetch(SQL.used, project_id, except_service)}


async def holders(con: Connection, project_id: ProjectId, most: int) -> list[UsageHolder]:
    """Return what holds the project's usage, at most so many of each kind."""
    return [
        UsageHolder(
            row["kind"],
            row["id"],
            row["name"],
            row["owner"],
            row["replicas"],
            rows.slots(row["slots"]) or {},
            row["bytes"],
            row["files"],
        )
        for row in await con.fetch(SQL.holders, project_id, most)
    ]


async def in_use(con: Connection, project_id: ProjectId) -> ProjectContents:
    """Return the numbers of its live services and folders, and of folders in its trash."""
    return ProjectContents(**await con.fetchrow(SQL.in_use, project_id))


async def update(
    con: Connection,
    project_id: ProjectId,
    description: str,
    quota: Mapping[str, Decimal] | None,
    resource_group: str | None,
    features_off: Sequence[str],
) -> Project:
    """Update description, quota, default group and features. The caller holds the project by lock()."""
    facts = (description, rows.plain(quota), resource_group, features_off)
    return _project(await con.fetchrow(SQL.update, project_id, *facts))


async def mark_deleted(con: Connection, project_id: ProjectId) -> None:
    """Mark it deleted; its name is free."""
    await con.execute(SQL.mark_deleted, project_id)


async def put_member(con: Connection, project_id: ProjectId, user_id: UserId, role: Role) -> None:
    """Set the user's role."""
    await con.execute(SQL.put_member, project_id, user_id, role)


async def role(con: Connection, project_id: ProjectId, user_id: UserId) -> Role | None:
    """Return the user's role; None: not a member."""
    found: Role | None = await con.fetchval(SQL.role, project_id, user_id)
    return found


async def remove_member(con: Connection, project_id: ProjectId, user_id: UserId) -> bool:
    """Delete the user's role; False when there was none."""
    return await con.fetchval(SQL.remove_member, project_id, user_id) is not None


async def members(con: Connection, project_id: ProjectId, *, after: UUID, limit: int) -> list[Member]:
    """Return a page of its members."""
    return [
        Member(row["id"], row["name"], row["role"]) for row in await con.fetch(SQL.members, project_id, after, limit)
    ]


async def owners(con: Connection, project_id: ProjectId) -> list[UserId]:
    """Return its owners."""
    return [row["user_id"] for row in await con.fetch(SQL.owners, project_id)]


async def other_members(con: Connection, project_id: ProjectId, user_id: UserId) -> int:
    """Return the number of its members besides this user."""
    return int(await con.fetchval(SQL.other_members, project_id, user_id))
