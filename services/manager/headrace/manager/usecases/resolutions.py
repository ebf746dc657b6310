"""Use case of the dry run: what a creation or a change of a service comes to, and all that is wrong with it.

It runs the checks that create and update run, gathers what they find, and writes nothing: its transaction is read-only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from headrace.common.contracts.http.resolutions import (
    Effect,
    ReplicasFit,
    ResolutionProblem,
    ResolutionView,
    Resolve,
)
from headrace.common.contracts.http.services import CreateService, UpdateService
from headrace.common.contracts.problems import Conflict
from headrace.common.db.pool import Connection, Pool
from headrace.common.runtime.clock import Clock
from headrace.manager.domain import quota
from headrace.manager.domain.access import Actor
from headrace.manager.domain.entity_tags import tag_of_service
from headrace.manager.domain.records.services import ServiceFacts
from headrace.manager.domain.replicas_fit import replicas_fit
from headrace.manager.domain.variants.resolved_spec import Resolution, ResolvedSpec
from headrace.manager.store import folders, revisions, services, traffic
from headrace.manager.usecases.context import project_for, service_for
from headrace.manager.usecases.drafts import Drafts, quota_needs, same_revision
from headrace.manager.usecases.findings import Findings
from headrace.manager.usecases.known_machines import KnownMachines
from headrace.manager.usecases.service_bodies import check_rollout
from headrace.manager.usecases.services import Services
from headrace.manager.views.resolutions import fit_view, live_changes, problem_views, quota_view, spec_changes
from headrace.manager.views.revisions import effective_view


class Resolutions:
    """Use case of the dry run."""

    def __init__(self, pool: Pool, drafts: Drafts, services: Services, machines: KnownMachines, utc: Clock) -> None:
        self._pool = pool
        self._drafts = drafts
        self._services = services
        self._machines = machines
        self._utc = utc

    async def resolve(self, actor: Actor, asked: Resolve) -> ResolutionView:
        """Return what the request comes to, with all of its problems.

        Raises NotFound and Forbidden of the project or service, Unavailable when a part that is needed does not answer.
        """
        if asked.create is not None:
            return await self._creation(actor, asked.create)
        assert asked.service is not None  # noqa: S101 - as Resolve checks
        assert asked.update is not None  # noqa: S101
        return await self._change(actor, asked.service, asked.update)

    async def _creation(self, actor: Actor, new: CreateService) -> ResolutionView:
        judged = await self._drafts.judge_creation(actor, new)
        project, group, resolution = judged.project, judged.group, judged.resolution
        spec = resolution.spec if resolution else None
        async with self._pool.acquire() as con, con.transaction(readonly=True):
            names = await folders.names(con, [mount.folder_id for mount in spec.mounts], project.id) if spec else {}
            note = await self._services.slots_note(con, spec.slots) if spec else None
        problems = _views(judged.findings)
        return ResolutionView(
            service=new.name,
            project=project.name,
            effect="create" if resolution else None,
            revision=1 if resolution else None,
            effective=effective_view(resolution.spec, names, resolution.metadata) if resolution else None,
            origins=dict(resolution.origins) if resolution else {},
            quota=tuple(map(quota_view, judged.needs)),
            fit=await self._fit(spec if _may_use(problems) else None, group, new.replicas),
            problems=problems,
            note=note,
        )

    async def _change(self, actor: Actor, reference: str, change: UpdateService) -> ResolutionView:
        findings = Findings(gather=True)
        self._drafts.check_port(change.endpoint_port, findings)
        async with self._pool.acquire() as con:
            facts = await service_for(con, actor, reference, "member")
            asked = await self._drafts.asked(con, actor, facts, change, findings)
        await self._drafts.ask_app_proxies(change.endpoint_port, findings, has=facts.service.endpoint_port)
        given = await self._drafts.resolve(asked, findings) if asked else None
        failed = asked is not None and given is None
        async with self._pool.acquire() as con, con.transaction(readonly=True):
            facts = await service_for(con, actor, reference, "member")
            service = facts.service
            if service.goal == "deleting":
                findings.add(Conflict(f"service {service.name} is being deleted"))
            if given is not None:
                given = await self._drafts.placed(con, actor, facts, change, given, findings)
            after = given or await self._current(con, facts)
            number, note, rolls_out = facts.revision, None, False
            if given is not None:
                same = await same_revision(con, facts, given.spec)
                rolls_out = same is None or same.revision_id is not None
                number = same.number if same else await revisions.last_number(con, service.id) + 1
                note = same.note if same else await self._services.slots_note(con, given.spec.slots)
            wanted = service.wanted if change.replicas is None else change.replicas
            needs = []
            if facts.running and not failed:
                project = await project_for(con, actor, str(service.project_id), "member")
                more = quota.times(after.spec.slots, wanted)
                checked = findings if given is not None or wanted > service.wanted else Findings(gather=True)
                needs = await quota_needs(con, project, more, checked, beside=facts)
            await self._check_settings(con, facts, change, findings)
            mounts = [mount.folder_id for spec in (facts.resolved, after.spec) for mount in spec.mounts]
            names = await folders.names(con, mounts, service.project_id)
        before_view = effective_view(facts.resolved, names, facts.metadata)
        view = effective_view(after.spec, names, after.metadata)
        live = live_changes(service, change)
        effect: Effect = "rollout" if rolls_out else "live" if live else "nothing"
        starting = max(0, wanted - service.wanted) + (1 if rolls_out and wanted else 0)
        judged = after.spec if facts.running and not failed else None
        group = after.spec.resource_group or service.resource_group
        problems = _views(findings)
        return ResolutionView(
            service=service.name,
            project=facts.project,
            effect=None if failed else effect,
            revision=None if failed else number,
            effective=None if failed else view,
            origins={} if failed else dict(after.origins),
            live=live,
            rolls_out=spec_changes(before_view, view) if rolls_out else (),
            quota=tuple(map(quota_view, needs)),
            fit=await self._fit(judged if _may_use(problems) else None, group, starting),
            problems=problems,
            etag=tag_of_service(facts),
            note=note,
        )

    async def _fit(self, spec: ResolvedSpec | None, resource_group: str, replicas: int) -> ReplicasFit | None:
        """Return how many of the replicas that would start would be placed now."""
        if spec is None or not replicas:
            return None
        machines = await self._machines.read()
        return fit_view(await asyncio.to_thread(replicas_fit, machines, spec, resource_group, replicas, self._utc()))

    async def _current(self, con: Connection, facts: ServiceFacts) -> Resolution:
        """Return the current revision's, with origins."""
        found = await revisions.find(con, facts.service.id, facts.revision)
        return found.resolution if found is not None else Resolution(facts.resolved)

    async def _check_settings(
        self, con: Connection, facts: ServiceFacts, change: UpdateService, findings: Findings
    ) -> None:
        service = facts.service
        with findings.noted():
            check_rollout(change, service.rollout)
        for name in await traffic.names_taken(con, service.project_id, change.models or (), beside=service.id):
            findings.add(traffic.model_taken(name), "models")
        if change.endpoint_port and await services.has_port(con, change.endpoint_port, beside=service.id):
            findings.add(services.port_taken(change.endpoint_port))
        cors = service.cors | (change.cors.model_dump(exclude_unset=True) if change.cors is not None else {})
        if change.cors is not None and cors.get("allow_credentials") and "*" in (cors.get("allow_origins") or ()):
            findings.add(traffic.all_with_credentials())


def _may_use(problems: Iterable[ResolutionProblem]) -> bool:
    """Return whether the project may use the resource group."""
    return not any(problem.field == "resource_group" for problem in problems)


def _views(findings: Findings) -> tuple[ResolutionProblem, ...]:
    views = (view for finding in findings.found for view in problem_views(finding.problem, finding.field))
    return tuple(dict.fromkeys(views))  # two checks may find the same
