"""What happened to a service: revisions, history, scale decisions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from headrace.common.contracts.http.history import HistoryEntry
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.revisions import RevisionDetail, RevisionView
from headrace.common.contracts.http.rules import ScaleDecisionView
from headrace.common.contracts.ids import EventId
from headrace.common.contracts.problems import NotFound
from headrace.common.contracts.reasons import Reason
from headrace.common.db.pool import Pool
from headrace.manager.domain.access import Actor
from headrace.manager.domain.records.events import Event
from headrace.manager.domain.records.revisions import Revision
from headrace.manager.store import decisions, events, folders, revisions
from headrace.manager.usecases.context import a_page, service_for
from headrace.manager.usecases.views import effective_view


class History:
    """Looking back. All of it raises NotFound for a service that the caller does not see."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def revisions(self, actor: Actor, reference: str, *, after: int, limit: int) -> Page[RevisionView]:
        """Return revisions, oldest first."""
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "viewer")
            found = await revisions.page(con, facts.service.id, after=after, limit=limit + 1)
        return a_page(found, limit, _revision, lambda revision: revision.number)

    async def revision(self, actor: Actor, reference: str, number: int) -> RevisionDetail:
        """Return one revision, with what its replicas are started with. Raises NotFound for one that is not kept too.

        One that was made under rules that no longer hold is shown as far as it can be read.
        """
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "viewer")
            found = next(iter(await revisions.page(con, facts.service.id, after=number - 1, limit=1)), None)
            if found is None or found.number != number:
                raise NotFound(f"service {facts.service.name} has no revision {number}")
            names = await folders.names(con, [mount.folder_id for mount in found.resolved.mounts])
        return RevisionDetail(**dict(_revision(found)), effective=effective_view(found.resolved, names))

    async def entries(self, actor: Actor, reference: str, *, before: UUID | None, limit: int) -> Page[HistoryEntry]:
        """Return changes, newest first."""
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "viewer")
            found = await events.of_service(con, facts.service.id, before=before, limit=limit + 1)
        return a_page(found, limit, _entry, lambda event: event.id)

    async def decisions(
        self, actor: Actor, reference: str, *, before: UUID | None, limit: int
    ) -> Page[ScaleDecisionView]:
        """Return changes of the wanted replicas, newest first."""
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "viewer")
            found = await decisions.page(con, facts.service.id, before=before, limit=limit + 1)
        return a_page(found, limit, _decision, lambda row: row["id"])


def _revision(revision: Revision) -> RevisionView:
    return RevisionView(
        number=revision.number,
        spec=revision.spec,
        created_at=revision.created_at,
        created_by=revision.created_by,
        message=revision.message,
    )


def _entry(event: Event) -> HistoryEntry:
    return HistoryEntry(
        id=EventId(event.id),
        at=event.at,
        actor=event.actor,
        action=event.action,
        message=event.message,
        details=event.details,
    )


def _decision(row: Mapping[str, Any]) -> ScaleDecisionView:
    return ScaleDecisionView(
        at=row["at"],
        source=row["source"],
        rule_id=row["rule_id"],
        from_replicas=row["from_replicas"],
        to_replicas=row["to_replicas"],
        observed=row["observed"],
        reason=Reason.read(row["reason_code"], row["reason_text"]),
    )
