"""Drafts of services: what a request to create or update one comes to, and what is wrong with it.

Creation, update and dry run share them: the first two end at the first problem, a dry run gathers all (`findings.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from headrace.common.contracts.http.services import CreateService, UpdateService
from headrace.common.contracts.ids import ProxyId, RevisionId
from headrace.common.contracts.problems import Conflict, InvalidRequest, NotFound
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.reasons.service import NoteReason
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.secret import PinnedSecret
from headrace.common.contracts.slots import OF_PROJECTS
from headrace.common.db.pool import Connection, Pool
from headrace.manager.domain import masking, names, object_limits, quota
from headrace.manager.domain.access import Actor
from headrace.manager.domain.object_limits import ObjectLimits
from headrace.manager.domain.own_ports import OwnPorts
from headrace.manager.domain.quota import Need
from headrace.manager.domain.records.projects import Project, group_of, origin_of_group
from headrace.manager.domain.records.revisions import Revision
from headrace.manager.domain.records.services import ServiceFacts
from headrace.manager.domain.variants.resolved_spec import Resolution, ResolvedSpec
from headrace.manager.store import projects, revisions, services, traffic
from headrace.manager.usecases import features
from headrace.manager.usecases.context import check_group, project_for, project_or_only
from headrace.manager.usecases.findings import Findings
from headrace.manager.usecases.ports import OwnPortQuestions
from headrace.manager.usecases.resolution import Resolver
from headrace.manager.usecases.service_bodies import check_rollout
from headrace.manager.usecases.spec_parts import SpecParts, find_parts

_NAMED_PROXIES = 5


@dataclass(frozen=True)
class AskedSpec:
    """Spec that a change of a service asks for, with what it names."""

    facts: ServiceFacts
    spec: RevisionSpec
    project: Project
    found: SpecParts | Revision
    """Folders of a spec; or the current revision, of which only secrets or the resource group are to be others."""
    pins: tuple[PinnedSecret, ...] = ()
    """Versions of secrets that it keeps."""
    fresh: bool = False
    """Whether a current revision gets the newest versions of its secrets."""

    def check_current(self, held: ServiceFacts) -> None:
        """Raise Conflict if it was made of a current revision that is not the current one any more."""
        if isinstance(self.found, Revision) and self.found.number != held.revision:
            raise Conflict(
                f"revision {held.revision} of service {held.service.name} is the current one by now, and this change was made "
                f"of revision {self.found.number}; make it again"
            )


@dataclass(frozen=True)
class SameRevision:
    """The revision that a spec comes to already. `revision_id`: it becomes the current one again; None: it is."""

    number: int
    revision_id: RevisionId | None
    note: Reason


@dataclass(frozen=True)
class JudgedCreation:
    """What a creation would come to, with all of its problems. Nothing of it was made."""

    project: Project
    group: str
    resolution: Resolution | None
    """None: it cannot be resolved."""
    needs: list[Need]
    findings: Findings


class Drafts:
    """Drafts of services. Nothing of them is written; resolving pins the model folder unless findings are gathered."""

    def __init__(
        self, pool: Pool, resolver: Resolver, allowed_ports: OwnPorts, own_ports: OwnPortQuestions, limits: ObjectLimits
    ) -> None:
        self._pool = pool
        self._resolver = resolver
        self._allowed_ports = allowed_ports
        self._own_ports = own_ports
        self._limits = limits

    async def creation(self, actor: Actor, new: CreateService, findings: Findings) -> tuple[Project, Resolution | None]:
        """Return the project and the resolved spec of a new service, None if it cannot be resolved.

        Raises NotFound and Forbidden of the project; finds the rest.
        """
        if why := names.why_unusable(new.name):
            findings.add(InvalidRequest.of("name", new.name, f"another name: {why}"))
        self.check_port(new.endpoint_port, findings)
        with findings.noted():
            check_rollout(new, {})
        async with self._pool.acquire() as con:
            project = await project_or_only(con, actor, new.project, "member")
            found = await find_parts(con, project, new, findings)
        features.check_settings(project, new, findings)
        features.check_model_uri(project, new.model_uri, findings)
        await self.ask_app_proxies(new.endpoint_port, findings)
        resolution = await self._resolver.judge(RevisionSpec.of(new), new.name, found, findings)
        if resolution is not None:
            group, origin = group_of(new.resource_group, project), origin_of_group(new.resource_group, project)
            resolution = resolution.in_group(group, origin)
        return project, resolution

    async def judge_creation(self, actor: Actor, new: CreateService) -> JudgedCreation:
        """Return what a creation would come to, and all that is wrong with it; changes nothing.

        Raises NotFound and Forbidden of the project, Unavailable when a part that is needed does not answer.
        """
        findings = Findings(gather=True)
        project, resolution = await self.creation(actor, new, findings)
        group = group_of(new.resource_group, project)
        async with self._pool.acquire() as con, con.transaction(readonly=True):
            spec = resolution.spec if resolution else None
            needs = await self.check_room(con, project, group, new.replicas, spec, findings)
            asked = [new.name, *new.models]
            if await traffic.service_has(con, new.name):
                findings.add(services.name_taken(new.name), "name")
                asked.remove(new.name)  # it is found by its name, which is no second problem
            for name in await traffic.names_taken(con, project.id, asked):
                is_model = name in new.models
                problem = traffic.model_taken(name) if is_model else services.found_as_model(name)
                findings.add(problem, "models" if is_model else "name")
            if new.endpoint_port and await services.has_port(con, new.endpoint_port):
                findings.add(services.port_taken(new.endpoint_port), "endpoint_port")
        return JudgedCreation(project, group, resolution, needs, findings)

    async def asked(
        self, con: Connection, actor: Actor, facts: ServiceFacts, change: UpdateService, findings: Findings
    ) -> AskedSpec | None:
        """Return the spec that a change asks for, with what it names; None where it asks for none. Raises NotFound, Forbidden.

        Finds what the project may not have.
        """
        await self._check_features(con, actor, facts, change, findings)
        if change.spec is None and not change.refresh_secrets and "resource_group" not in change.model_fields_set:
            return None
        spec = change.spec
        if spec is None or masking.needs_former(spec):
            current = await revisions.find(con, facts.service.id, facts.revision)
            if current is None:
                raise NotFound(f"service {facts.service.name} has no revision {facts.revision}")
            if spec is None:
                project = await project_for(con, actor, str(facts.service.project_id), "member")
                return AskedSpec(facts, current.spec, project, current, fresh=change.refresh_secrets)
            spec = masking.with_former(spec, current.spec)
        return await self.asked_again(con, actor, facts, spec, findings, fresh=change.refresh_secrets)

    async def _check_features(
        self, con: Connection, actor: Actor, facts: ServiceFacts, change: UpdateService, findings: Findings
    ) -> None:
        uri = change.spec.model_uri if change.spec else None
        if not (change.open_to_public or change.endpoint_port or uri):
            return
        project = await project_for(con, actor, str(facts.service.project_id), "member")
        features.check_settings(project, change, findings, before=facts.service)
        if uri is not None and project.features_off:
            current = await revisions.page(con, facts.service.id, after=facts.revision - 1, limit=1)
            features.check_model_uri(project, uri, findings, before=current[0].spec.model_uri if current else None)

    async def asked_again(
        self,
        con: Connection,
        actor: Actor,
        facts: ServiceFacts,
        spec: RevisionSpec,
        findings: Findings,
        *,
        fresh: bool = False,
    ) -> AskedSpec:
        """Return a spec of a service that there is, with what it names. Raises NotFound, Forbidden.

        Secrets keep the versions of the current revision, unless they are to be `fresh`.
        """
        project = await project_for(con, actor, str(facts.service.project_id), "member")
        found = await find_parts(con, project, spec, findings)
        return AskedSpec(facts, spec, project, found, pins=() if fresh else facts.resolved.secrets)

    async def resolve(self, asked: AskedSpec, findings: Findings) -> Resolution | None:
        """Return what the spec comes to, None if it cannot be resolved. No connection may be held meanwhile: it reads files."""
        if isinstance(asked.found, SpecParts):
            return await self._resolver.judge(asked.spec, asked.facts.service.name, asked.found, findings, asked.pins)
        if not asked.fresh:
            return asked.found.resolution
        with findings.noted("refresh_secrets"):
            refreshed = await self._resolver.refresh_secrets(asked.project, asked.found.resolved)
            return replace(asked.found.resolution, spec=refreshed)
        return None

    async def placed(
        self,
        con: Connection,
        actor: Actor,
        facts: ServiceFacts,
        change: UpdateService | None,
        resolution: Resolution,
        findings: Findings,
    ) -> Resolution:
        """Return the resolution with the resource group that the change asks for, else with the service's. Finds one that it may not use.

        In the transaction of the change, so that another's change of the group is not taken back. Raises NotFound, Forbidden.
        """
        if change is None or "resource_group" not in change.model_fields_set:
            origin = await revisions.origin_of_group(con, facts.service.revision_id)
            return resolution.in_group(facts.service.resource_group, origin)
        project = await project_for(con, actor, str(facts.service.project_id), "member")
        group = group_of(change.resource_group, project)
        with findings.noted("resource_group"):
            await check_group(con, project, group)
        return resolution.in_group(group, origin_of_group(change.resource_group, project))

    def check_port(self, port: int | None, findings: Findings) -> None:
        """Find InvalidRequest for an own port that no service may have."""
        if allowed := self._allowed_ports.allowed(port):
            findings.add(InvalidRequest.of("endpoint_port", port, allowed))

    async def ask_app_proxies(self, port: int | None, findings: Findings, *, has: int | None = None) -> None:
        """Find Conflict for an own port that an app-proxy cannot open. `has`: the one that the service has, which is not asked about.

        No connection may be held meanwhile: app-proxies answer by the bus. One that does not answer refuses nothing; the
        service's URLs say then what came of the port.
        """
        if not port or port == has or self._allowed_ports.allowed(port):
            return
        if refusals := await self._own_ports.refusals(port):
            findings.add(port_refused(port, refusals))

    async def check_room(
        self,
        con: Connection,
        project: Project,
        resource_group: str,
        wanted: int,
        resolved: ResolvedSpec | None,
        findings: Findings,
    ) -> list[Need]:
        """Return what a new service needs of the project's quota. Finds a wrong resource group, limits, QuotaExceeded.

        Whoever creates it holds the project by a lock.
        """
        with findings.noted():
            await check_group(con, project, resource_group)
        there = (await projects.in_use(con, project.id)).services
        with findings.noted():
            whose = f"project {project.name}"
            object_limits.check(whose, "services", there, self._limits.services_per_project)
        if resolved is None:
            return []
        return await quota_needs(con, project, quota.started(resolved.slots, wanted), findings)


def port_refused(port: int, refusals: Mapping[ProxyId, str]) -> Conflict:
    """Return the problem of an own port that app-proxies cannot open."""
    who = ", ".join(f"{proxy_id} ({why})" for proxy_id, why in sorted(refusals.items())[:_NAMED_PROXIES])
    allowed = "a port that every app-proxy can open"
    detail = f"endpoint_port: {port} cannot be opened by {who}; allowed: {allowed}"
    return Conflict(detail, field="endpoint_port", found=port, allowed=allowed)


async def quota_needs(
    con: Connection, project: Project, more: quota.Slots, findings: Findings, *, beside: ServiceFacts | None = None
) -> list[Need]:
    """Return what `more` needs beside what the project holds (without the service `beside`). Finds QuotaExceeded."""
    if project.quota is None and not findings.gathers:
        return []
    used = await projects.used(con, project.id, except_service=beside.service.id if beside else None)
    needs = quota.needs(project.quota, used, more)
    for need in needs:
        if problem := need.exceeded(project.name):
            findings.add(problem, "" if need.slot in OF_PROJECTS else f"slots.{need.slot}")
    return needs


async def same_revision(con: Connection, facts: ServiceFacts, resolved: ResolvedSpec) -> SameRevision | None:
    """Return the revision that needs no new one: the current one, or the serving one while the current one does not start."""
    if resolved == facts.resolved:
        text = f"it comes to what revision {facts.revision} is already: no replica is replaced (restart does that)"
        return SameRevision(facts.revision, None, Reason.of(NoteReason.UNCHANGED, text))
    if facts.served is not None and facts.served != facts.revision:
        served = await revisions.find(con, facts.service.id, facts.served)
        if served is not None and served.resolved == resolved:
            text = (
                f"it comes to revision {served.number}, which serves: that is the current one again, and stays as it is"
            )
            return SameRevision(served.number, served.id, Reason.of(NoteReason.UNCHANGED, text))
    return None
