"""Use cases of a service's history: revisions, events, scale decisions."""

from __future__ import annotations

from uuid import UUID

from headrace.common.contracts.http.decisions import ScaleDecisionView
from headrace.common.contracts.http.history import HistoryEntry
from headrace.common.contracts.http.page import Page
from headrace.common.contracts.http.revisions import RevisionDetail, RevisionView
from headrace.common.contracts.problems import NotFound
from headrace.common.db.pool import Connection, Pool
from headrace.manager.domain.access import Actor
from headrace.manager.domain.records.revisions import Revision
from headrace.manager.domain.records.services import ServiceFacts
from headrace.manager.store import decisions, events, folders, revisions
from headrace.manager.usecases.context import make_page, service_for
from headrace.manager.usecases.project_limiter import ProjectLimiter
from headrace.manager.usecases.snapshots import FolderSnapshots
from headrace.manager.views.decisions import decision_view
from headrace.manager.views.history import history_entry
from headrace.manager.views.revisions import revision_detail, revision_view


class History:
    """Use cases: revisions, history and scale decisions of services. All raise NotFound for a service that the caller does not see."""

    def __init__(self, pool: Pool, snapshots: FolderSnapshots) -> None:
        self._pool = pool
        self._snapshots = snapshots
        self._turns = ProjectLimiter()

    async def revisions(self, actor: Actor, reference: str, *, after: int, limit: int) -> Page[RevisionView]:
        """Return revisions, oldest first."""
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "viewer")
            found = await revisions.page(con, facts.service.id, after=after, limit=limit + 1)
        return make_page(found, limit, revision_view, lambda revision: revision.number)

    async def revision(self, actor: Actor, reference: str, number: int) -> RevisionDetail:
        """Return one revision with its effective spec. Raises NotFound, also for one that was pruned.

        One that violates constraints added later is returned as far as it can be read.
        """
        async with self._pool.acquire() as con:
            facts, found = await self._revision(con, actor, reference, number)
            mounts = [mount.folder_id for mount in found.resolved.mounts]
            names = await folders.names(con, mounts, facts.service.project_id)
        return revision_detail(found, names)

    async def manifest(self, actor: Actor, reference: str, number: int) -> bytes:
        """Return the encoded manifest of the files that the revision's replicas see as model folder.

        Raises NotFound, also for a revision without a model folder, or made before there were snapshots; Unavailable
        at the project's limit of concurrent calls.
        """
        async with self._pool.acquire() as con:
            facts, found = await self._revision(con, actor, reference, number)
        resolved = found.resolved
        if resolved.folder_id is None or resolved.snapshot_id is None:
            missing = "an older version made it" if resolved.importing is None else "its model is not imported yet"
            why = "no model folder" if resolved.folder_id is None else f"no snapshot: {missing}"
            raise NotFound(f"revision {number} of service {facts.service.name} has {why}")
        async with self._turns.of(facts.service.project_id):
            return await self._snapshots.pinned_manifest(resolved.folder_id, resolved.snapshot_id)

    async def _revision(
        self, con: Connection, actor: Actor, reference: str, number: int
    ) -> tuple[ServiceFacts, Revision]:
        facts = await service_for(con, actor, reference, "viewer")
        found = next(iter(await revisions.page(con, facts.service.id, after=number - 1, limit=1)), None)
        if found is None or found.number != number:
            raise NotFound(f"service {facts.service.name} has no revision {number}")
        return facts, found

    async def entries(self, actor: Actor, reference: str, *, before: UUID | None, limit: int) -> Page[HistoryEntry]:
        """Return changes, newest first."""
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "viewer")
            found = await events.of_service(con, facts.service.id, before=before, limit=limit + 1)
        return make_page(found, limit, history_entry, lambda event: event.id)

    async def decisions(
        self, actor: Actor, reference: str, *, before: UUID | None, limit: int
    ) -> Page[ScaleDecisionView]:
        """Return changes of the wanted replicas, newest first."""
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "viewer")
            found = await decisions.page(con, facts.service.id, before=before, limit=limit + 1)
        return make_page(found, limit, decision_view, lambda decision: decision.id)
