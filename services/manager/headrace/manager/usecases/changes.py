"""Use cases that change services: update, scale, start, stop, restart, retry, roll back, delete.

Each one transaction with an event.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from headrace.common.contracts.http.revisions import Rollback
from headrace.common.contracts.http.services import ServiceDetail, UpdateService
from headrace.common.contracts.ids import RevisionId, new_uuid
from headrace.common.contracts.problems import Conflict, NotFound
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.scaling import ScalingReason
from headrace.common.contracts.reasons.service import NoteReason
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain import masking
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import ServiceState
from headrace.manager.domain.object_limits import ObjectLimits
from headrace.manager.domain.records.revisions import Revision
from headrace.manager.domain.records.services import ServiceFacts
from headrace.manager.domain.variants.resolved_spec import Resolution, ResolvedSpec
from headrace.manager.store import decisions, imports, revisions, services, traffic
from headrace.manager.usecases import scaling
from headrace.manager.usecases.context import check_group, locked_service, project_for, record_of, service_for
from headrace.manager.usecases.drafts import Drafts, same_revision
from headrace.manager.usecases.findings import Findings
from headrace.manager.usecases.ports import Pokes
from headrace.manager.usecases.service_bodies import check_rollout, documents, service_change
from headrace.manager.usecases.services import Services
from headrace.manager.usecases.spec_parts import check_shared, hold_parts

_Specs: TypeAlias = tuple[RevisionSpec | None, RevisionSpec | None]


class Changes:
    """Use cases that change services."""

    def __init__(
        self,
        pool: Pool,
        drafts: Drafts,
        services: Services,
        pokes: Pokes,
        limits: ObjectLimits,
    ) -> None:
        self._pool = pool
        self._drafts = drafts
        self._services = services
        self._pokes = pokes
        self._limits = limits

    async def update(self, actor: Actor, reference: str, change: UpdateService) -> ServiceDetail:
        """Update the given fields. A spec or resource group becomes a new revision, which replaces the replicas without downtime.

        `refresh_secrets` alone makes a revision that differs in the versions of its secrets.

        A spec that resolves to what runs already replaces nothing, and the answer's note says so. Raises NotFound,
        Forbidden, NameTaken, Conflict while the service is being deleted, InvalidDefinition, InvalidRequest,
        QuotaExceeded; then nothing has changed.
        """
        self._drafts.check_port(change.endpoint_port, Findings())
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "member")
            draft = await self._drafts.asked(con, actor, facts, change, Findings())
        await self._drafts.ask_app_proxies(change.endpoint_port, Findings(), has=facts.service.endpoint_port)
        spec = draft.spec if draft else None
        resolution = await self._drafts.resolve(draft, Findings()) if draft else None
        async with transaction(self._pool) as con:
            facts = await self._hold(con, actor, reference)
            check_rollout(change, facts.service.rollout)
            if draft is not None and resolution is not None:
                draft.check_current(facts)
                resolution = await self._drafts.placed(con, actor, facts, change, resolution, Findings())
            wanted = facts.service.wanted
            after = wanted if change.replicas is None else change.replicas
            if facts.running and (resolution is not None or after > wanted):
                await self._check_quota(con, facts, resolution.spec if resolution else facts.resolved, after)
            number, revision_id, note = facts.revision, None, None
            specs: _Specs = (None, None)
            if spec is not None and resolution is not None:
                number, revision_id, note = await self._revise(con, actor, facts, spec, resolution, change.message)
                if revision_id is not None:
                    specs = (await _current_spec(con, facts), spec)
            await services.update(
                con, facts.service.id, service_change(change), revision_id=revision_id, forgive=resolution is not None
            )
            await traffic.write(con, facts.service.id, documents(change))
            asked = Reason.of(
                ScalingReason.ASKED_BY_USER, f"{actor.name} asked for {after} replicas instead of {wanted}"
            )
            await decisions.insert(con, facts.service.id, wanted, after, asked)
            changes = change.model_dump(mode="json", exclude_unset=True, exclude={"message"})
            if change.spec is not None:
                changes["spec"] = masking.masked_document(changes["spec"])
            named: dict[str, Any] = {"revision": number, "changes": changes}
            detail = await self._recorded(con, actor, "service.updated", facts, change.message, specs=specs, **named)
            if note is None and resolution is not None:
                note = await self._services.slots_note(con, resolution.spec.slots)
        return self._done(detail, note)

    async def start(self, actor: Actor, reference: str) -> ServiceDetail:
        """Start the wanted replicas of a stopped service. Raises NotFound, Forbidden, Conflict, QuotaExceeded."""
        async with transaction(self._pool) as con:
            facts = await self._hold(con, actor, reference)
            if facts.running:
                return self._done(await self._services.shown(con, facts))
            await check_shared(con, facts.service.project_id, facts.resolved)
            await self._check_quota(con, facts, facts.resolved, starts=True)
            await services.update(con, facts.service.id, goal="running", forgive=True)
            detail = await self._recorded(con, actor, "service.started", facts, revision=facts.revision)
        return self._done(detail)

    async def stop(self, actor: Actor, reference: str) -> ServiceDetail:
        """Stop all replicas and keep the configuration. Raises NotFound, Forbidden, Conflict."""
        async with transaction(self._pool) as con:
            facts = await self._hold(con, actor, reference)
            if not facts.running:
                return self._done(await self._services.shown(con, facts))
            await services.update(con, facts.service.id, goal="stopped")
            detail = await self._recorded(con, actor, "service.stopped", facts, revision=facts.revision)
        return self._done(detail)

    async def restart(self, actor: Actor, reference: str) -> ServiceDetail:
        """Replace all replicas without downtime, by the current revision, unchanged, under a new number.

        Raises NotFound, Forbidden, Conflict when it is not running, QuotaExceeded.
        """
        async with transaction(self._pool) as con:
            facts = await self._hold(con, actor, reference)
            if not facts.running:
                raise Conflict(f"service {facts.service.name} is {facts.service.goal}; start it instead")
            current = await self._revision(con, facts, facts.revision)
            await self._check_quota(con, facts, current.resolved)
            spec = await hold_parts(con, facts.service.project_id, current.spec, current.resolved)
            number, revision_id = await self._new_revision(con, actor, facts, spec, current.resolution, "restart")
            await services.update(con, facts.service.id, revision_id=revision_id, forgive=True)
            named: dict[str, Any] = {"revision": number, "from_revision": facts.revision}
            detail = await self._recorded(con, actor, "service.restarted", facts, **named)
        return self._done(detail)

    async def retry(self, actor: Actor, reference: str) -> ServiceDetail:
        """Clear the errors of failed starts and try again at once; also a failed import of the model.

        The model folder is read again: where it changed, a new revision is made of it. Raises NotFound,
        Forbidden, Conflict, InvalidDefinition, InvalidRequest, QuotaExceeded.
        """
        before, spec, resolution = await self._read_again(actor, reference)
        async with transaction(self._pool) as con:
            facts = await self._hold(con, actor, reference)
            number, revision_id, note = facts.revision, None, None
            if resolution is not None:
                resolution = await self._drafts.placed(con, actor, facts, None, resolution, Findings())
            if resolution is not None and before == facts.revision and resolution.spec != facts.resolved:
                if facts.running:
                    await self._check_quota(con, facts, resolution.spec)
                message = "retry: the model folder has changed"
                number, revision_id, _ = await self._revise(con, actor, facts, spec, resolution, message)
                text = f"the model folder was read again, and has changed: revision {number} is made of it"
                note = Reason.of(NoteReason.DEFINITION_READ_AGAIN, text)
            await services.update(con, facts.service.id, revision_id=revision_id, forgive=True)
            if facts.resolved.importing is not None:
                await imports.retry(con, facts.resolved.importing)
            detail = await self._recorded(con, actor, "service.retried", facts, revision=number)
        return self._done(detail, note)

    async def _read_again(self, actor: Actor, reference: str) -> tuple[int, RevisionSpec, Resolution | None]:
        """Return the current revision's number and spec, and the spec resolved anew if a start of it failed."""
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "member")
            failing = facts.service.failed_starts or await services.errors(con, facts.service.id)
            spec = (await self._revision(con, facts, facts.revision)).spec
            draft = await self._drafts.asked_again(con, actor, facts, spec, Findings()) if failing else None
        resolution = await self._drafts.resolve(draft, Findings()) if draft else None
        return facts.revision, spec, resolution

    async def rollback(self, actor: Actor, reference: str, body: Rollback) -> ServiceDetail:
        """Make an earlier revision the current one, as it was resolved then; one that serves already replaces nothing.

        Raises NotFound, Forbidden, Conflict, QuotaExceeded, InvalidRequest for a resource group that it may not use any more.
        """
        async with transaction(self._pool) as con:
            facts = await self._hold(con, actor, reference)
            old = await self._revision(con, facts, body.revision)
            if old.resolved.resource_group != facts.service.resource_group:
                project = await project_for(con, actor, str(facts.service.project_id), "member")
                await check_group(con, project, old.resolved.resource_group or facts.service.resource_group)
            if facts.running:
                await self._check_quota(con, facts, old.resolved)
            number, revision_id, note = await self._revise(con, actor, facts, old.spec, old.resolution, body.message)
            await services.update(con, facts.service.id, revision_id=revision_id, forgive=True)
            spec = masking.masked_spec(old.spec).model_dump(mode="json")
            named: dict[str, Any] = {"revision": number, "from_revision": body.revision, "changes": {"spec": spec}}
            specs = (await _current_spec(con, facts), old.spec)
            detail = await self._recorded(con, actor, "service.rolled-back", facts, body.message, specs=specs, **named)
        return self._done(detail, note)

    async def delete(self, actor: Actor, reference: str) -> ServiceDetail | None:
        """Delete the service. Return None when it is gone at once, else its state while replicas stop.

        Raises NotFound, Forbidden.
        """
        async with transaction(self._pool) as con:
            facts = await locked_service(con, actor, reference, "member")
            gone = await services.live_sessions(con, facts.service.id) == 0
            if gone:
                await services.mark_deleted(con, facts.service.id)
            elif facts.service.goal != "deleting":
                await services.update(con, facts.service.id, goal="deleting")
            if facts.service.goal != "deleting":
                before, number = ServiceState.seen(facts), facts.revision
                await record_of(con, actor, "service.deleted", facts.scope, before=before, after=None, revision=number)
            if not gone:
                facts = await service_for(con, actor, str(facts.service.id), "viewer")
            detail = None if gone else await self._services.shown(con, facts)
        self._pokes.poke("services", "routes", "rules")
        return detail

    async def _hold(self, con: Connection, actor: Actor, reference: str) -> ServiceFacts:
        """Lock the service until the transaction ends. Raises NotFound, Forbidden, Conflict while it is being deleted."""
        facts = await locked_service(con, actor, reference, "member")
        if facts.service.goal == "deleting":
            raise Conflict(f"service {facts.service.name} is being deleted")
        return facts

    async def _recorded(
        self,
        con: Connection,
        actor: Actor,
        action: str,
        before: ServiceFacts,
        message: str = "",
        *,
        specs: _Specs = (None, None),
        **details: Any,
    ) -> ServiceDetail:
        """Record the change of a service that is held, and return it as it is now. `specs`: where its revision changed."""
        after = await service_for(con, actor, str(before.service.id), "viewer")
        was, now = (ServiceState.seen(facts, spec) for facts, spec in zip((before, after), specs, strict=True))
        await record_of(con, actor, action, before.scope, before=was, after=now, message=message, **details)
        return await self._services.shown(con, after)

    async def _check_quota(
        self,
        con: Connection,
        facts: ServiceFacts,
        resolved: ResolvedSpec,
        replicas: int | None = None,
        *,
        starts: bool = False,
    ) -> None:
        """Raise QuotaExceeded if the project may not have that many replicas (default: the wanted number)."""
        service = facts.service
        wanted = service.wanted if replicas is None else replicas
        await scaling.check_quota(con, service.project_id, service.id, resolved.slots, wanted, starts=starts)

    async def _revision(self, con: Connection, facts: ServiceFacts, number: int) -> Revision:
        found = await revisions.find(con, facts.service.id, number)
        if found is None:
            raise NotFound(f"service {facts.service.name} has no revision {number}")
        return found

    async def _revise(
        self,
        con: Connection,
        actor: Actor,
        facts: ServiceFacts,
        spec: RevisionSpec,
        resolution: Resolution,
        message: str,
    ) -> tuple[int, RevisionId | None, Reason | None]:
        """Create a revision, unless it equals the current one, or the serving one while the current one does not start.

        Return its number, its id (None: the current one stays) and a note for the answer. Raises Conflict.
        """
        resolved = resolution.spec
        spec = await hold_parts(con, facts.service.project_id, spec, resolved)
        if same := await same_revision(con, facts, resolved):
            return same.number, same.revision_id, same.note
        number, revision_id = await self._new_revision(con, actor, facts, spec, resolution, message)
        return number, revision_id, None

    async def _new_revision(
        self,
        con: Connection,
        actor: Actor,
        facts: ServiceFacts,
        spec: RevisionSpec,
        resolution: Resolution,
        message: str,
    ) -> tuple[int, RevisionId]:
        number = await revisions.last_number(con, facts.service.id) + 1
        revision_id = RevisionId(new_uuid())
        if resolution.spec.resource_group != facts.service.resource_group:
            await revisions.keep_group(con, facts.service.id, facts.service.resource_group)
        await revisions.insert(con, revision_id, facts.service.id, number, spec, resolution, message, actor.user_id)
        await revisions.forget(con, facts.service.id, before=number - self._limits.revisions_per_service + 1)
        return number, revision_id

    def _done(self, detail: ServiceDetail, note: Reason | None = None) -> ServiceDetail:
        """Poke the loops after the commit, and return what the transaction read."""
        self._pokes.poke("services", "routes", "rules", "imports")
        return detail if note is None else detail.model_copy(update={"note": note})


async def _current_spec(con: Connection, facts: ServiceFacts) -> RevisionSpec | None:
    """Return the spec of the service's current revision, as far as it can be read."""
    found = await revisions.page(con, facts.service.id, after=facts.revision - 1, limit=1)
    return found[0].spec if found else None
