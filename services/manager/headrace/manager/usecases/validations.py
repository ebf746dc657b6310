"""Use cases of trial runs: a spec is started once, without a service, and gets a verdict."""

from __future__ import annotations

from contextlib import suppress
from uuid import UUID

from headrace.common.contracts.http.validations import StartValidation, ValidationView
from headrace.common.contracts.ids import SessionId, new_uuid
from headrace.common.contracts.problems import NotFound, Problem
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.session import SessionReason
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.vocabulary import Role
from headrace.common.db.pool import Connection, Pool, transaction
from headrace.manager.domain import object_limits, quota
from headrace.manager.domain.access import Actor
from headrace.manager.domain.audit_states import ValidationState, spec_state
from headrace.manager.domain.lifecycle import states
from headrace.manager.domain.object_limits import ObjectLimits
from headrace.manager.domain.records.events import Scope
from headrace.manager.domain.records.projects import Project, group_of
from headrace.manager.domain.records.validations import TrialRun
from headrace.manager.domain.variants.resolved_spec import ResolvedSpec
from headrace.manager.store import projects, sessions, validations
from headrace.manager.usecases.context import as_id, authorise, check_group, project_or_only, record_of
from headrace.manager.usecases.drafts import quota_needs
from headrace.manager.usecases.features import check_model_uri
from headrace.manager.usecases.findings import OF_THE_REQUEST, Findings, complete
from headrace.manager.usecases.idempotency import keep
from headrace.manager.usecases.ports import Pokes
from headrace.manager.usecases.resolution import Resolver
from headrace.manager.usecases.spec_parts import find_parts, hold_parts
from headrace.manager.views.validations import validation_view

_NAME = "validation"


async def trial_run(con: Connection, actor: Actor, session_id: UUID, needed: Role) -> TrialRun:
    """Return the trial run. Raises NotFound when the caller may not see it, Forbidden."""
    found = await validations.find(con, session_id, actor)
    if found is None:
        raise NotFound(f"there is no validation {session_id}")
    authorise(actor, found.project, found.role, needed)
    return found


class Validations:
    """Use cases of trial runs. The services loop gives the verdict and ends them."""

    def __init__(self, pool: Pool, resolver: Resolver, pokes: Pokes, limits: ObjectLimits) -> None:
        self._pool = pool
        self._resolver = resolver
        self._pokes = pokes
        self._limits = limits

    async def start(self, actor: Actor, new: StartValidation) -> ValidationView:
        """Start a trial run.

        Raises NotFound, Forbidden, InvalidDefinition, InvalidRequest, QuotaExceeded, with all that is wrong in `errors`.
        """
        try:
            return await self._start(actor, new)
        except OF_THE_REQUEST as problem:
            with suppress(Problem):  # it ends a dry run, too, and is raised below
                complete(problem, await self._judge(actor, new))
            raise

    async def _judge(self, actor: Actor, new: StartValidation) -> Findings:
        """Return all that is wrong with a trial run; changes nothing."""
        findings = Findings(gather=True)
        project, resolved = await self._resolved(actor, new, findings)
        async with self._pool.acquire() as con, con.transaction(readonly=True):
            await self._check_room(con, project, group_of(new.resource_group, project), resolved, findings)
        return findings

    async def _resolved(
        self, actor: Actor, new: StartValidation, findings: Findings
    ) -> tuple[Project, ResolvedSpec | None]:
        async with self._pool.acquire() as con:
            project = await project_or_only(con, actor, new.project, "member")
            found = await find_parts(con, project, new, findings)
        check_model_uri(project, new.model_uri, findings)
        resolution = await self._resolver.judge(RevisionSpec.of(new), _NAME, found, findings)
        return project, resolution.spec if resolution else None

    async def _check_room(
        self, con: Connection, project: Project, group: str, resolved: ResolvedSpec | None, findings: Findings
    ) -> None:
        """Find a wrong resource group, too many trial runs, and QuotaExceeded."""
        with findings.noted():
            await check_group(con, project, group)
        there = await validations.living(con, project.id)
        most, whose = self._limits.validations_per_project, f"project {project.name}"
        with findings.noted():
            object_limits.check(whose, "validations that have not ended", there, most)
        if resolved is not None:
            await quota_needs(con, project, quota.started(resolved.slots), findings)

    async def _start(self, actor: Actor, new: StartValidation) -> ValidationView:
        project, resolved = await self._resolved(actor, new, Findings())
        assert resolved is not None  # noqa: S101 - what is wrong was raised
        spec = RevisionSpec.of(new)
        session_id = SessionId(new_uuid())
        async with transaction(self._pool) as con:
            locked = await projects.lock(con, project.id)
            if locked is None:
                raise NotFound(f"there is no project {project.name}")
            group = group_of(new.resource_group, locked)
            await hold_parts(con, project.id, spec, resolved)
            await self._check_room(con, locked, group, resolved, Findings())
            await sessions.create(
                con,
                session_id=session_id,
                kind="validation",
                project_id=project.id,
                service_id=None,
                revision_id=None,
                resolved=resolved,
                resource_group=group,
                created_by=actor.user_id,
            )
            started = await trial_run(con, actor, session_id, "viewer")
            after, which = ValidationState(status=started.status, spec=spec_state(spec)), str(session_id)
            scope = Scope(project.id)
            await record_of(con, actor, "validation.started", scope, before=None, after=after, validation=which)
            view = validation_view(started)
            await keep(con, actor, view)
        self._pokes.poke("placement", "imports")
        return view

    async def show(self, actor: Actor, reference: str) -> ValidationView:
        """Return the trial run's state. Raises NotFound."""
        async with self._pool.acquire() as con:
            return validation_view(await trial_run(con, actor, as_id(reference, "validation"), "viewer"))

    async def stop(self, actor: Actor, reference: str) -> None:
        """Stop the trial run, if it has not ended. Raises NotFound, Forbidden."""
        async with transaction(self._pool) as con:
            found = await trial_run(con, actor, as_id(reference, "validation"), "member")
            if found.status in states.ACTIVE:
                await sessions.stop(con, found.id, Reason.of(SessionReason.STOPPED_BY_USER, f"stopped by {actor.name}"))
                after = await trial_run(con, actor, found.id, "viewer")
                was, now = ValidationState(status=found.status), ValidationState(status=after.status)
                scope, which = Scope(found.project_id), str(found.id)
                await record_of(con, actor, "validation.stopped", scope, before=was, after=now, validation=which)
        self._pokes.poke("services", "plans")
