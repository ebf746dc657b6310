"""Use cases of resource groups: operators make and delete them; everybody may see their names, which services name."""

from __future__ import annotations

from typing import Final

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.resource_groups import CreateResourceGroup, ResourceGroupView
from headrace.common.contracts.problems import Conflict, InUse, NameTaken, NotFound
from headrace.common.db.pool import Pool, transaction
from headrace.common.text.counting import count
from headrace.manager.domain import object_limits
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import ResourceGroupState
from headrace.manager.domain.records.events import INSTALLATION
from headrace.manager.store import resource_groups
from headrace.manager.usecases.context import make_page, operators_only, record_of
from headrace.manager.usecases.idempotency import keep
from headrace.manager.views.resource_groups import resource_group_view

MAX_GROUPS: Final = 1000
"""Resource groups of an installation."""
_DEFAULT: Final = "default"


class ResourceGroups:
    """Use cases of resource groups."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def create(self, actor: Actor, new: CreateResourceGroup) -> ResourceGroupView:
        """Create a group without machines. Raises Forbidden, NameTaken, Conflict when there are too many."""
        operators_only(actor, "make resource groups")
        async with transaction(self._pool) as con:
            await resource_groups.lock(con)
            object_limits.check("the installation", "resource groups", await resource_groups.count(con), MAX_GROUPS)
            made = await resource_groups.insert(con, new.name)
            if made is None:
                raise NameTaken(f"there is a resource group {new.name} already")
            after, name = ResourceGroupState.of(made), made.name
            await record_of(
                con, actor, "resource-group.created", INSTALLATION, before=None, after=after, resource_group=name
            )
            view = resource_group_view(made)
            await keep(con, actor, view)
        return view

    async def page(self, *, after: str, limit: int) -> Page[ResourceGroupView]:
        """Return groups by name."""
        async with self._pool.acquire() as con:
            found = await resource_groups.page(con, after=after, limit=limit + 1)
        return make_page(found, limit, resource_group_view, lambda group: group.name)

    async def delete(self, actor: Actor, name: str) -> None:
        """Delete a group that nothing names any more. Raises Forbidden, NotFound, InUse, Conflict for the default one."""
        operators_only(actor, "delete resource groups")
        if name == _DEFAULT:
            raise Conflict(f"resource group {_DEFAULT} is what services and machines get that name none; it stays")
        async with transaction(self._pool) as con:
            if not await resource_groups.hold(con, name):
                raise NotFound(f"there is no resource group {name}")
            machines, services = await resource_groups.users(con, name)
            if machines or services:
                has = " and ".join(
                    count(number, what) for number, what in ((machines, "machine"), (services, "service")) if number
                )
                raise InUse(f"resource group {name} has {has}; remove them first")
            before = ResourceGroupState(name=name)
            await record_of(
                con, actor, "resource-group.deleted", INSTALLATION, before=before, after=None, resource_group=name
            )
            if not await resource_groups.delete(con, name):
                raise InUse(
                    f"resource group {name} is named by what is kept of deleted services, ended replicas, join tokens or "
                    "identities; try again when that is forgotten"
                )
