"""Look-up and authorisation, the first step of every use case, and the record of a change, its last.

What a caller may not see is not found; what may be seen but not done is forbidden.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from headrace.common.contracts.http.page import Page
from headrace.common.contracts.ids import ProjectId
from headrace.common.contracts.problems import Forbidden, InvalidRequest, NotFound, PreconditionFailed, row
from headrace.common.contracts.vocabulary import Role
from headrace.common.contracts.wording import LONGEST_FOUND, cut
from headrace.common.db.pool import Connection
from headrace.manager.domain import access
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_change import change_of
from headrace.manager.domain.audit_states import State
from headrace.manager.domain.entity_tags import tag_of_service
from headrace.manager.domain.records.events import Scope
from headrace.manager.domain.records.projects import Project
from headrace.manager.domain.records.services import ServiceFacts
from headrace.manager.domain.records.users import User
from headrace.manager.store import events, projects, resource_groups, services, users

T = TypeVar("T")
V = TypeVar("V")
_MAX_LISTED_NAMES = 20


async def no_group(con: Connection, name: str, project: Project | None = None) -> InvalidRequest:
    """Return the problem of a resource group that is not there, or not for the project, with those that are."""
    names = await resource_groups.usable(con, project.id if project else None, most=_MAX_LISTED_NAMES + 1)
    more = ", …" if len(names) > _MAX_LISTED_NAMES else ""
    whose = f", the groups that project {project.name} may use" if project else ""
    listed = f"{', '.join(names[:_MAX_LISTED_NAMES])}{more}"
    return InvalidRequest.of("resource_group", name, f"one of {listed}{whose}" if names else f"none{whose}")


async def check_group(con: Connection, project: Project, name: str) -> None:
    """Raise InvalidRequest unless the project may use the resource group."""
    if not await resource_groups.allowed(con, name, project.id):
        raise await no_group(con, name, project)


def operators_only(actor: Actor, what: str) -> None:
    """Raise Forbidden unless the caller is an operator."""
    if not actor.operator:
        raise Forbidden(f"only operators may {what}")


def own_rights_only(actor: Actor, what: str) -> None:
    """Raise Forbidden for an API key that may less than its user: it could get the rest by what it makes."""
    if actor.limited:
        raise Forbidden(f"only API keys without limits may {what}; yours is limited")


def check_match(actor: Actor, what: str, tag: str) -> None:
    """Raise PreconditionFailed if the caller wants to change what it saw (If-Match), and `what` is another now.

    The thing is locked, so that nobody changes it between this and the change.
    """
    if actor.if_match is None or tag in actor.if_match:
        return
    found = cut(", ".join(sorted(actor.if_match)), LONGEST_FOUND) or "no strong entity tag"
    raise PreconditionFailed(
        f"{what} was changed since it was read (If-Match); look at it, and decide again",
        errors=[row("If-Match", found, tag)],
    )


async def user_for(con: Connection, actor: Actor, reference: str) -> User:
    """Return the user: operators see everybody, others themselves. Raises NotFound."""
    user = await users.find(con, reference)
    if user is None or not (actor.operator or user.id == actor.user_id):
        raise NotFound(f"there is no user {reference}")
    return user


def authorise(actor: Actor, project: str, role: Role | None, needed: Role) -> None:
    """Raise Forbidden unless the caller's role is enough. The caller is known to see the project."""
    if not access.may(actor, role, needed):
        raise Forbidden(access.refusal(project, role, needed))


async def project_for(con: Connection, actor: Actor, reference: str, needed: Role) -> Project:
    """Return the project. Raises NotFound when the caller may not see it, Forbidden when the role is not enough."""
    found = await projects.find(con, reference, actor)
    if found is None or not access.sees(actor, found[1]):
        raise NotFound(f"there is no project {reference}")
    project, role = found
    authorise(actor, project.name, role, needed)
    return project


async def project_ids(con: Connection, actor: Actor, references: Sequence[str] | None) -> tuple[ProjectId, ...] | None:
    """Return the ids of the projects that something is limited to, each once; None: to none. Raises NotFound for one that the caller does not see."""
    if references is None:
        return None
    found = [(await project_for(con, actor, reference, "viewer")).id for reference in references]
    return tuple(dict.fromkeys(found))


async def project_or_only(con: Connection, actor: Actor, reference: str | None, needed: Role) -> Project:
    """Return the named project, or without a name the only one that the caller is a member of."""
    if reference is not None:
        return await project_for(con, actor, reference, needed)
    mine = await projects.of_caller(con, actor)
    if len(mine) != 1:
        names = ", ".join(project.name for project, _ in mine[:10]) or "none"
        raise InvalidRequest.of(
            "project", "nothing", f"a project's name or id, since you are a member of {len(mine)} ({names})"
        )
    project, role = mine[0]
    authorise(actor, project.name, role, needed)
    return project


async def service_for(con: Connection, actor: Actor, reference: str, needed: Role) -> ServiceFacts:
    """Return the service. Raises NotFound when the caller may not see it, Forbidden when the role is not enough."""
    facts = await services.find(con, reference, actor)
    if facts is None:
        raise NotFound(f"there is no service {reference}")
    authorise(actor, facts.project, facts.role, needed)
    return facts


async def locked_service(con: Connection, actor: Actor, reference: str, needed: Role) -> ServiceFacts:
    """Lock the service until the transaction ends and return it. Raises NotFound, Forbidden, PreconditionFailed."""
    held = await services.hold(con, reference, actor)
    if held is None:
        raise NotFound(f"there is no service {reference}")
    facts = await service_for(con, actor, str(held), needed)
    check_match(actor, f"service {facts.service.name}", tag_of_service(facts))
    return facts


def make_page(found: Sequence[T], limit: int, view: Callable[[T], V], cursor: Callable[[T], object]) -> Page[V]:
    """Return a page of `limit` items from the `limit + 1` that were read."""
    shown = found[:limit]
    return Page(items=tuple(view(item) for item in shown), next=str(cursor(shown[-1])) if len(found) > limit else None)


def as_id(text: str, what: str) -> UUID:
    """Parse an id. Raises NotFound for what is none."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"there is no {what} {text}") from None


async def record_of(
    con: Connection,
    actor: Actor,
    action: str,
    scope: Scope,
    *,
    before: State | None,
    after: State | None,
    message: str = "",
    **details: Any,
) -> None:
    """Record a change in the history of what it belongs to, and in the audit log; in the transaction of the change.

    `before` and `after`: states of what was changed; None: it was not there, or is gone. `details` say which it is.
    """
    await events.record(con, actor, action, scope, change_of(before, after), message=message, details=details)
