"""Use cases of services: create, show."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from headrace.common.contracts.http.services import CreateService, NameAvailability, ServiceDetail
from headrace.common.contracts.ids import FolderId
from headrace.common.contracts.problems import NotFound, Problem
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.service import NameReason
from headrace.common.db.pool import Connection, Pool
from headrace.common.runtime.clock import Clock
from headrace.manager.domain import names
from headrace.manager.domain.access import Actor
from headrace.manager.domain.model_import import Import
from headrace.manager.domain.object_limits import ObjectLimits
from headrace.manager.domain.placement import known_slots
from headrace.manager.domain.records.services import NewService, ServiceFacts
from headrace.manager.store import agents, ends, folders, imports, projects, rollouts, services, traffic
from headrace.manager.usecases.context import no_group, service_for
from headrace.manager.usecases.drafts import Drafts
from headrace.manager.usecases.findings import OF_THE_REQUEST, Findings, complete
from headrace.manager.usecases.idempotency import keep
from headrace.manager.usecases.ports import AppProxies, Pokes
from headrace.manager.usecases.reachability import reachability
from headrace.manager.usecases.service_bodies import new_service
from headrace.manager.usecases.snapshots import FolderSnapshots
from headrace.manager.usecases.spec_parts import hold_parts
from headrace.manager.views.services import service_detail

_SHOWN_ENDS = 20
_AT_ONCE = 200
"""More than the creates that all managers can have in progress; each has a connection to the database."""


class Services:
    """Use cases that create and read services."""

    def __init__(
        self,
        pool: Pool,
        drafts: Drafts,
        snapshots: FolderSnapshots,
        proxies: AppProxies,
        pokes: Pokes,
        clock: Clock,
        limits: ObjectLimits,
        *,
        proxy_url: str,
    ) -> None:
        self._pool = pool
        self._drafts = drafts
        self._snapshots = snapshots
        self._proxies = proxies
        self._proxy_url = proxy_url.rstrip("/")
        self._pokes = pokes
        self._clock = clock
        self._limits = limits

    async def create(self, actor: Actor, new: CreateService) -> ServiceDetail:
        """Create a service and its first revision.

        Raises NotFound, Forbidden, NameTaken, InvalidDefinition, InvalidRequest, QuotaExceeded, with all that is wrong in
        `errors`; then nothing has changed.
        """
        try:
            return await self._create(actor, new)
        except OF_THE_REQUEST as problem:
            with suppress(Problem):  # it ends a dry run, too, and is raised below
                complete(problem, (await self._drafts.judge_creation(actor, new)).findings)
            raise

    async def _create(self, actor: Actor, new: CreateService) -> ServiceDetail:
        project, resolution = await self._drafts.creation(actor, new, Findings())
        assert resolution is not None  # noqa: S101 - what is wrong was raised
        made = new_service(new, project, resolution)
        async with self._pool.acquire() as con:
            detail = None
            if project.quota is None:
                async with con.transaction():
                    facts = await self._beside_others(con, actor, made)
                    detail = await self._fresh(con, actor, facts) if facts else None
            if detail is None:  # a transaction of its own: it has to hold the project before anything else
                async with con.transaction():
                    detail = await self._fresh(con, actor, await self._alone(con, actor, made))
        self._pokes.poke("services", "routes", "imports")
        return detail

    async def slots_note(self, con: Connection, slots: Iterable[str]) -> Reason | None:
        """Return a note about slots that no machine has."""
        if not known_slots.unusual(slots):
            return None
        return known_slots.note_of(slots, await agents.slot_names(con))

    async def _beside_others(self, con: Connection, actor: Actor, new: NewService) -> ServiceFacts | None:
        """Create it concurrently with other creates of the project; None where a quota or limit is near."""
        room = await projects.room(con, new.project.id, new.resource_group)
        if room is None:
            raise NotFound(f"there is no project {new.project.name}")
        if not room.group_allowed:
            raise await no_group(con, new.resource_group, room.project)
        if room.project.quota is not None or room.services + _AT_ONCE > self._limits.services_per_project:
            return None
        spec = await hold_parts(con, new.project.id, new.spec, new.resolved)
        return await services.create(con, replace(new, spec=spec), actor)

    async def _alone(self, con: Connection, actor: Actor, new: NewService) -> ServiceFacts:
        """Create it under an exclusive lock of the project, so that its counts are exact."""
        locked = await projects.lock(con, new.project.id)
        if locked is None:
            raise NotFound(f"there is no project {new.project.name}")
        spec = await hold_parts(con, new.project.id, new.spec, new.resolved)
        await self._drafts.check_room(con, locked, new.resource_group, new.wanted, new.resolved, Findings())
        return await services.create(con, replace(new, spec=spec), actor)

    async def _fresh(self, con: Connection, actor: Actor, facts: ServiceFacts) -> ServiceDetail:
        """Return a service that was just created and has no replicas."""
        names: dict[FolderId, str] = {}
        if facts.resolved.mounts:
            names = await folders.names(
                con, [mount.folder_id for mount in facts.resolved.mounts], facts.service.project_id
            )
        note = await self.slots_note(con, facts.resolved.slots)
        detail = service_detail(
            facts,
            reachability(self._proxies, facts.service),
            self._clock(),
            proxy_url=self._proxy_url,
            folders=names,
            note=note,
            model_import=await _import_of(con, facts),
        )
        await keep(con, actor, detail)
        return detail

    async def detail(self, actor: Actor, reference: str) -> ServiceDetail:
        """Return one service with its replicas. Raises NotFound."""
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "viewer")
            detail = await self.shown(con, facts)
        resolved = facts.resolved
        if resolved.folder_id is None or resolved.snapshot_id is None or resolved.source is not None:
            return detail
        changed = await self._snapshots.is_changed(resolved.folder_id, resolved.snapshot_id)
        return detail.model_copy(update={"folder_changed": changed})

    async def shown(self, con: Connection, facts: ServiceFacts) -> ServiceDetail:
        """Return the service with its replicas, within the caller's transaction."""
        replicas = await services.replicas(con, [facts.service.id])
        errors = await services.errors(con, facts.service.id)
        ended = await ends.newest(con, facts.service.id, _SHOWN_ENDS)
        last_failed = await rollouts.last_failed(con, facts.service.id)
        names = await folders.names(con, [mount.folder_id for mount in facts.resolved.mounts], facts.service.project_id)
        return service_detail(
            facts,
            reachability(self._proxies, facts.service),
            self._clock(),
            proxy_url=self._proxy_url,
            replicas=replicas[facts.service.id],
            errors=errors,
            ends=ended,
            last_failed=last_failed,
            folders=names,
            model_import=await _import_of(con, facts),
        )

    async def available(self, name: str) -> NameAvailability:
        """Return whether a new service may have the name. Names are unique in the installation, so every caller may ask."""
        why, code = names.why_unusable(name), NameReason.NAME_RESERVED
        if why is None:
            async with self._pool.acquire() as con:
                if await traffic.service_has(con, name):
                    why, code = f"there is a service {name} already", NameReason.NAME_TAKEN
        if why is None:
            why, code = f"no service is called {name}", NameReason.NAME_FREE
        return NameAvailability(name=name, available=code is NameReason.NAME_FREE, reason=Reason.of(code, why))


async def _import_of(con: Connection, facts: ServiceFacts) -> Import | None:
    """Return the import of the current revision's model, if it has a model URI."""
    source = facts.resolved.source
    return None if source is None else (await imports.of(con, [source.import_id])).get(source.import_id)
