"""Use cases of resource groups: operators make and delete them; everybody may see their names, which services name."""

from __future__ import annotations

from typing import Final

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.resource_groups import (
    CreateResourceGroup,
    ResourceGroupView,
    UpdateResourceGroup,
)
from headrace.common.contracts.problems import Conflict, InUse, NameTaken, NotFound
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.common.text.counting import count
from headrace.manager.domain import object_limits
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import ResourceGroupState
from headrace.manager.domain.entity_tags import tag_of_group
from headrace.manager.domain.records.events import INSTALLATION
from headrace.manager.domain.records.projects import DEFAULT_GROUP
from headrace.manager.domain.records.resource_groups import ResourceGroup
from headrace.manager.store import resource_groups
from headrace.manager.usecases.context import check_match, make_page, operators_only, project_ids, record_of
from headrace.manager.usecases.idempotency import keep
from headrace.manager.usecases.ports import Pokes
from headrace.manager.views.resource_groups import resource_group_view

MAX_GROUPS: Final = 1000
"""Resource groups of an installation."""


class ResourceGroups:
    """Use cases of resource groups."""

    def __init__(self, pool: Pool, pokes: Pokes) -> None:
        self._pool = pool
        self._pokes = pokes

    async def create(self, actor: Actor, new: CreateResourceGroup) -> ResourceGroupView:
        """Create a group without machines. Raises Forbidden, NotFound of a project, NameTaken, Conflict when there are too many."""
        operators_only(actor, "make resource groups")
        async with transaction(self._pool) as con:
            await resource_groups.lock(con)
            object_limits.check("the installation", "resource groups", await resource_groups.count(con), MAX_GROUPS)
            if not await resource_groups.insert(con, new.name, await project_ids(con, actor, new.projects)):
                raise NameTaken(f"there is a resource group {new.name} already")
            made = await _read(con, actor, new.name)
            await _record(con, actor, "resource-group.created", new.name, None, made)
            view = resource_group_view(made)
            await keep(con, actor, view)
        return view

    async def update(self, actor: Actor, name: str, change: UpdateResourceGroup) -> ResourceGroupView:
        """Set the projects that may use the group; what runs there goes on. Raises Forbidden, NotFound, PreconditionFailed."""
        operators_only(actor, "change resource groups")
        async with transaction(self._pool) as con:
            held = await _hold(con, actor, name)
            await resource_groups.set_projects(con, name, await project_ids(con, actor, change.projects))
            after = await _read(con, actor, name)
            await _record(con, actor, "resource-group.updated", name, held, after)
        self._pokes.poke("placement")
        return resource_group_view(after)

    async def page(self, actor: Actor, *, after: str, limit: int) -> Page[ResourceGroupView]:
        """Return groups by name."""
        async with self._pool.acquire() as con:
            found = await resource_groups.page(con, actor, after=after, limit=limit + 1)
        return make_page(found, limit, resource_group_view, lambda group: group.name)

    async def delete(self, actor: Actor, name: str) -> None:
        """Delete a group that nothing names any more. Raises Forbidden, NotFound, InUse, Conflict for the default one."""
        operators_only(actor, "delete resource groups")
        if name == DEFAULT_GROUP:
            raise Conflict(f"resource group {DEFAULT_GROUP} is what services and machines get that name none; it stays")
        async with transaction(self._pool) as con:
            held = await _hold(con, actor, name)
            machines, services, projects = await resource_groups.users(con, name)
            if machines or services:
                has = " and ".join(
                    count(number, what) for number, what in ((machines, "machine"), (services, "service")) if number
                )
                raise InUse(f"resource group {name} has {has}; remove them first")
            if projects:
                raise InUse(f"resource group {name} is the default of {count(projects, 'project')}; give them another")
            await _record(con, actor, "resource-group.deleted", name, held, None)
            if not await resource_groups.delete(con, name):
                raise InUse(
                    f"resource group {name} is named by what is kept of deleted services, ended replicas, join tokens or "
                    "identities; try again when that is forgotten"
                )


async def _hold(con: Connection, actor: Actor, name: str) -> ResourceGroup:
    """Lock the group until the transaction ends. Raises NotFound, PreconditionFailed."""
    held = await resource_groups.one(con, actor, name) if await resource_groups.hold(con, name) else None
    if held is None:
        raise NotFound(f"there is no resource group {name}")
    check_match(actor, f"resource group {name}", tag_of_group(held))
    return held


async def _read(con: Connection, actor: Actor, name: str) -> ResourceGroup:
    """Return a group that this transaction has written."""
    group = await resource_groups.one(con, actor, name)
    assert group is not None  # noqa: S101 - it was just written
    return group


async def _record(
    con: Connection, actor: Actor, action: str, name: str, before: ResourceGroup | None, after: ResourceGroup | None
) -> None:
    was, now = (None if one is None else ResourceGroupState.of(one) for one in (before, after))
    await record_of(con, actor, action, INSTALLATION, before=was, after=now, resource_group=name)
