"""Use case of the audit log: who changed what, in the installation or in a project."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import suppress
from dataclasses import replace
from uuid import UUID

from headrace.common.contracts.http.audit import AuditEntry
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.problems import Forbidden, NotFound
from headrace.common.db.pool import Connection, Pool
from headrace.manager.domain.access import Actor, may
from headrace.manager.domain.records.events import AuditFilter
from headrace.manager.store import events, projects
from headrace.manager.usecases.context import as_id, project_for, service_for
from headrace.manager.views.history import audit_entry


class Audit:
    """Use case of the audit log. Operators see all of it, owners that of their projects."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def entries(
        self,
        actor: Actor,
        wanted: AuditFilter,
        *,
        project: str | None,
        service: str | None,
        before: UUID | None,
        limit: int,
    ) -> Page[AuditEntry]:
        """Return a page of changes, newest first; `project` and `service` by name or id, for operators also ids of what is gone.

        A page may have few entries, or none, and still have a next one. Raises Forbidden, NotFound.
        """
        async with self._pool.acquire() as con:
            wanted = await self._narrowed(con, actor, wanted, project, service)
            found, cursor = await events.audit(con, wanted, before=before, limit=limit)
        return Page(items=tuple(map(audit_entry, found)), next=str(cursor) if cursor else None)

    async def show(self, actor: Actor, event: str) -> AuditEntry:
        """Return one change, to operators and to owners of the project that it belongs to. Raises NotFound."""
        event_id = as_id(event, "audit entry")
        async with self._pool.acquire() as con:
            found = await events.audited(con, event_id)
            if found is None or not (actor.operator or await _owns(con, actor, found.project_id)):
                raise NotFound(f"there is no audit entry {event}")
        return audit_entry(found)

    async def _narrowed(
        self, con: Connection, actor: Actor, wanted: AuditFilter, project: str | None, service: str | None
    ) -> AuditFilter:
        if project is None and service is None and not actor.operator:
            raise Forbidden("only operators may read the whole audit log; owners of a project: that of the project")
        if project is not None:
            wanted = replace(wanted, project_id=await _id_of(actor, project, _project_id(con, actor, project)))
        if service is not None:
            wanted = replace(wanted, service_id=await _id_of(actor, service, _service_id(con, actor, service)))
        return wanted


async def _owns(con: Connection, actor: Actor, project_id: UUID | None) -> bool:
    """Return whether the caller may read what belongs to this project."""
    if project_id is None:
        return False
    found = await projects.find(con, str(project_id), actor)
    return found is not None and may(actor, found[1], "owner")


async def _id_of(actor: Actor, reference: str, look: Awaitable[UUID]) -> UUID:
    """Return the id that was found; for operators also that of what is gone. Raises NotFound, Forbidden."""
    try:
        return await look
    except NotFound:
        with suppress(ValueError):
            if actor.operator:
                return UUID(reference)
        raise


async def _project_id(con: Connection, actor: Actor, reference: str) -> UUID:
    return (await project_for(con, actor, reference, "owner")).id


async def _service_id(con: Connection, actor: Actor, reference: str) -> UUID:
    return (await service_for(con, actor, reference, "owner")).service.id
