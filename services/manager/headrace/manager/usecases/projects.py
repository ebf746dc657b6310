"""Use cases of projects, members and usage."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Final
from uuid import UUID

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.projects import (
    CreateProject,
    MemberView,
    ProjectView,
    PutMember,
    UpdateProject,
    Usage,
)
from headrace.common.contracts.http.whoami import WhoAmI
from headrace.common.contracts.problems import Conflict, InUse, InvalidRequest, NotFound
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.vocabulary import Role
from headrace.common.contracts.wording import Refused
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain import features, object_limits, quota, storage_usage
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import MemberState, ProjectState
from headrace.manager.domain.entity_tags import tag_of_member, tag_of_project
from headrace.manager.domain.object_limits import ObjectLimits
from headrace.manager.domain.placement import known_slots
from headrace.manager.domain.records.events import Scope
from headrace.manager.domain.records.projects import Project
from headrace.manager.domain.records.users import User
from headrace.manager.store import (
    agents,
    folder_shares,
    folders,
    projects,
    resource_presets,
    secrets,
    tokens,
    users,
    webhooks,
)
from headrace.manager.usecases.context import (
    check_group,
    check_match,
    make_page,
    operators_only,
    project_for,
    record_of,
)
from headrace.manager.usecases.idempotency import keep
from headrace.manager.views.projects import member_view, project_view, usage_view
from headrace.manager.views.whoami import whoami_view

MAX_HOLDERS: Final = 200
"""Services, trial runs and folders of each kind that are named with a project's usage."""


def _limits(project: Project, change: UpdateProject) -> dict[str, Decimal] | None:
    try:
        return quota.changed(project.quota, change.quota)
    except Refused as refused:
        raise InvalidRequest.of("quota", refused.found, refused.allowed) from None


def _member_state(role: Role | None) -> MemberState | None:
    return None if role is None else MemberState(role=role)


class Projects:
    """Use cases of projects, their members and quotas."""

    def __init__(self, pool: Pool, limits: ObjectLimits) -> None:
        self._pool = pool
        self._limits = limits

    async def whoami(self, actor: Actor) -> WhoAmI:
        """Return the caller and the projects that the caller is a member of."""
        async with self._pool.acquire() as con:
            user = await users.find(con, str(actor.user_id))
            mine = await projects.of_caller(con, actor)
        if user is None:
            raise NotFound("you are not known any more")
        return whoami_view(replace(user, operator=actor.operator), mine)  # a limited key has no operator's rights

    async def create(self, actor: Actor, new: CreateProject) -> ProjectView:
        """Create a project; the caller becomes its owner. Raises Forbidden, NameTaken."""
        operators_only(actor, "create projects")
        async with transaction(self._pool) as con:
            off = features.changed((), new.features)
            project = await projects.insert(con, new.name, new.description, new.quota, off)
            if (group := new.resource_group) is not None:
                await check_group(con, project, group)
                project = await projects.update(con, project.id, new.description, new.quota, group, off)
            await projects.put_member(con, project.id, actor.user_id, "owner")
            after, scope = ProjectState.of(project), Scope(project.id)
            await record_of(con, actor, "project.created", scope, before=None, after=after, project=project.name)
            view = project_view(project, await self._quota_note(con, new.quota or {}))
            await keep(con, actor, view)
        return view

    async def page(self, actor: Actor, *, after: UUID, limit: int) -> Page[ProjectView]:
        """Return the projects that the caller sees."""
        async with self._pool.acquire() as con:
            found = await projects.visible(con, actor, after=after, limit=limit + 1)
        return make_page(found, limit, project_view, lambda project: project.id)

    async def show(self, actor: Actor, reference: str) -> ProjectView:
        """Return one project. Raises NotFound."""
        async with self._pool.acquire() as con:
            return project_view(await project_for(con, actor, reference, "viewer"))

    async def update(self, actor: Actor, reference: str, change: UpdateProject) -> ProjectView:
        """Change description and default group (owners), quota and features (operators).

        Raises NotFound, Forbidden, InvalidRequest for too many limits.
        """
        async with transaction(self._pool) as con:
            project = await project_for(con, actor, reference, "owner")
            if "quota" in change.model_fields_set:
                operators_only(actor, "change quotas")
            if "features" in change.model_fields_set:
                operators_only(actor, "switch features of projects")
            held = await projects.lock(con, project.id)
            if held is None:
                raise NotFound(f"there is no project {reference}")
            check_match(actor, f"project {held.name}", tag_of_project(held))
            given = change.model_fields_set
            description = (change.description or "") if "description" in given else held.description
            limits = _limits(held, change) if "quota" in given else held.quota
            group = change.resource_group if "resource_group" in given else held.resource_group
            if change.resource_group is not None:
                await check_group(con, project, change.resource_group)
            off = features.changed(held.features_off, change.features) if "features" in given else held.features_off
            after = await projects.update(con, project.id, description, limits, group, off)
            was, now, scope = ProjectState.of(held), ProjectState.of(after), Scope(project.id)
            await record_of(con, actor, "project.updated", scope, before=was, after=now, project=project.name)
            note = await self._quota_note(con, [name for name in change.quota or {} if name in (limits or {})])
        return project_view(after, note)

    async def _quota_note(self, con: Connection, limits: Iterable[str]) -> Reason | None:
        """Return a note about limits on slots that no machine has: mistyped ones limit nothing."""
        unusual = known_slots.unusual_in_quota(limits)
        return (
            known_slots.note_of(unusual, await agents.slot_names(con), known_slots.BOUNDS_NOTHING) if unusual else None
        )

    async def delete(self, actor: Actor, reference: str) -> None:
        """Delete a project that has no services and folders any more. Raises NotFound, Forbidden, InUse."""
        async with transaction(self._pool) as con:
            project = await project_for(con, actor, reference, "owner")
            held = await projects.lock(con, project.id)
            if held is None:
                raise NotFound(f"there is no project {reference}")
            check_match(actor, f"project {held.name}", tag_of_project(held))
            contents = await projects.in_use(con, project.id)  # its trash is purged
            if contents.services or contents.folders:
                has = [
                    f"{number} {what}{'' if number == 1 else 's'}"
                    for number, what in ((contents.services, "service"), (contents.folders, "folder"))
                    if number
                ]
                raise InUse(f"project {project.name} still has {' and '.join(has)}; delete what is in it first")
            await projects.mark_deleted(con, project.id)
            await tokens.revoke_all(con, project.id)
            await webhooks.delete_all(con, project.id)
            await folder_shares.delete_of_project(con, project.id)
            await secrets.delete_all(con, project.id)
            await resource_presets.delete_all(con, project.id)
            before, scope = ProjectState.of(project), Scope(project.id)
            await record_of(con, actor, "project.deleted", scope, before=before, after=None, project=project.name)

    async def usage(self, actor: Actor, reference: str) -> Usage:
        """Return usage and limits per slot: what running services want, what folders hold. Raises NotFound."""
        async with self._pool.acquire() as con:
            project = await project_for(con, actor, reference, "viewer")
            used = await projects.used(con, project.id)
            held = await folders.stored(con, project.id)
            holders = await projects.holders(con, project.id, MAX_HOLDERS)
        limits = {**(project.quota or {}), **storage_usage.limits(project.quota, self._limits)}
        return usage_view({**used, **held.slots()}, limits, holders)

    async def members(self, actor: Actor, reference: str, *, after: UUID, limit: int) -> Page[MemberView]:
        """Return users and roles. Raises NotFound."""
        async with self._pool.acquire() as con:
            project = await project_for(con, actor, reference, "viewer")
            found = await projects.members(con, project.id, after=after, limit=limit + 1)
        return make_page(
            found,
            limit,
            lambda member: member_view(project.id, member.name, member.role),
            lambda member: member.user_id,
        )

    async def put_member(self, actor: Actor, reference: str, user_reference: str, body: PutMember) -> MemberView:
        """Set a user's role. Raises NotFound, Forbidden, PreconditionFailed, Conflict when no owner would be left."""
        async with transaction(self._pool) as con:
            project, user, role = await self._member(con, actor, reference, user_reference)
            if body.role != "owner":
                await self._keep_an_owner(con, project, user)
            there = await projects.other_members(con, project.id, user.id)
            object_limits.check(f"project {project.name}", "members", there, self._limits.members_per_project)
            was, now = _member_state(role), _member_state(body.role)
            await projects.put_member(con, project.id, user.id, body.role)
            await record_of(con, actor, "member.put", Scope(project.id), before=was, after=now, user=user.name)
        return member_view(project.id, user.name, body.role)

    async def remove_member(self, actor: Actor, reference: str, user_reference: str) -> None:
        """Remove a user's role. Raises NotFound, Forbidden, PreconditionFailed, Conflict when no owner would be left."""
        async with transaction(self._pool) as con:
            project, user, role = await self._member(con, actor, reference, user_reference)
            await self._keep_an_owner(con, project, user)
            before = _member_state(role)
            if not await projects.remove_member(con, project.id, user.id):
                raise NotFound(f"{user.name} is not a member of project {project.name}")
            scope = Scope(project.id)
            await record_of(con, actor, "member.removed", scope, before=before, after=None, user=user.name)

    async def _member(
        self, con: Connection, actor: Actor, reference: str, user_reference: str
    ) -> tuple[Project, User, Role | None]:
        """Lock the project, and return a user and its role. Raises NotFound, Forbidden, PreconditionFailed."""
        project = await project_for(con, actor, reference, "owner")
        await projects.lock(con, project.id)
        user = await users.find(con, user_reference)
        if user is None:
            raise NotFound(f"there is no user {user_reference}")
        role = await projects.role(con, project.id, user.id)
        check_match(
            actor, f"{user.name} as a member of project {project.name}", tag_of_member(project.id, user.name, role)
        )
        return project, user, role

    async def _keep_an_owner(self, con: Connection, project: Project, user: User) -> None:
        owners = await projects.owners(con, project.id)
        if owners == [user.id]:
            raise Conflict(f"{user.name} is the last owner of project {project.name}; make another one first")
