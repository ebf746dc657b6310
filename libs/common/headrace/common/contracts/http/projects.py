"""Projects, members with roles, quotas and usage."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, get_args
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints

from headrace.common.contracts.http.page import Body, Change, Changeable, View
from headrace.common.contracts.ids import ProjectId, Slug
from headrace.common.contracts.reasons import Reason, said_of
from headrace.common.contracts.slots import QuotaChange, QuotaSlots, ResourceSlots
from headrace.common.contracts.vocabulary import Feature, HolderKind, Role

Description = Annotated[str, StringConstraints(max_length=4000)]
Features = Annotated[dict[Feature, bool], Field(max_length=len(get_args(Feature)))]
"""Whether the project may use a feature."""
FeatureChanges = Annotated[dict[Feature, bool | None], Field(max_length=len(get_args(Feature)))]


class CreateProject(Body):
    """The creator becomes its owner. Only operators create projects."""

    name: Slug
    description: Description = ""
    quota: QuotaSlots | None = None
    """Limit per slot over all live replicas; a missing slot is unlimited. One of cuda.device and cuda.shares limits
    both together; with both, each limits its own. `services` limits those that run, trial runs included: 0 switches services
    off."""
    resource_group: Slug | None = None
    """Group of its services and trial runs that name none; null: `default`."""
    features: Features = {}
    """Feature switches; those that are not named are on."""


class UpdateProject(Change):
    """Changes of a project. Its name is part of model names (`<project>/<service>`), and fixed."""

    description: Description | None = None
    resource_group: Slug | None = None
    """Group of services and trial runs that are made from now on and name none; null: `default`."""
    quota: QuotaChange | None = None
    """Named slots change, null removes a slot's limit; null for all of it: unlimited. Only operators change it. Running
    replicas stay if a limit is lowered; new ones are refused."""
    features: FeatureChanges | None = None
    """Named features are switched on (true, null) or off (false); null for all of it: all are on. Only operators change it.
    What uses a feature that is switched off goes on; what would use it anew is refused."""


class ProjectView(Changeable):
    """A project as its members see it."""

    id: ProjectId
    name: str
    description: str
    quota: ResourceSlots | None
    resource_group: str | None = None
    """Group of its services that name none; null: `default`."""
    features: dict[Feature, bool] = {}
    """Feature switches: whether the project may use each. `model-uris`: `model_uri` of a spec. `own-ports`: `endpoint_port` of a
    service. `public-services`: `open_to_public`. `webhooks`."""
    created_at: AwareDatetime
    note: Annotated[Reason | None, said_of("note")] = None
    """Remarks on a change of the quota, in its response: a slot that no machine has."""


class PutMember(Body):
    """Set a user's role in a project."""

    role: Role


class MemberView(Changeable):
    """A member's role."""

    user: str
    role: Role


class UsageHolder(View):
    """A service that runs, a trial run or a folder, and what it holds of the project's quota."""

    kind: HolderKind
    id: UUID
    name: str
    """Empty for trial runs."""
    owner: str
    """User that made it; empty where that is not known."""
    replicas: int
    """Wanted ones of a service; 0 for folders."""
    used: dict[str, Decimal]


class Usage(View):
    """Current usage of a project, per slot. `storage` (bytes) and `files` include what open uploads will need."""

    used: dict[str, Decimal]
    limits: dict[str, Decimal] = {}
    """Limits of its quota, and of the installation for `storage` and `files`; a missing slot is unlimited."""
    holders: tuple[UsageHolder, ...] = ()
    """Who uses it: at most 200 of each kind, services with most replicas and folders with most bytes first."""
