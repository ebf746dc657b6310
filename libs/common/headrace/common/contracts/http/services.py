"""Services: what one asks for, and how they stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AwareDatetime,
    Field,
    NonNegativeInt,
    StringConstraints,
    model_validator,
)

from headrace.common.contracts.cors import Cors, CorsSettings
from headrace.common.contracts.http.endpoint_urls import EndpointUrl
from headrace.common.contracts.http.model_imports import ModelImport
from headrace.common.contracts.http.page import Change, Changeable, Reference, View
from headrace.common.contracts.http.replicas import ReplicaEnd, ReplicaView, RouteError
from headrace.common.contracts.http.revisions import EffectiveSpec
from headrace.common.contracts.http.rollouts import FailedRollout, RolloutSettings
from headrace.common.contracts.http.tokens import CallerLimits
from headrace.common.contracts.http.traffic import BalanceSettings, LimitSettings, Models
from headrace.common.contracts.ids import (
    FolderId,
    ProjectId,
    ServiceId,
    Slug,
)
from headrace.common.contracts.messages.routes import Balance, Limits, RateLimits
from headrace.common.contracts.numbers import NO_TRUTH
from headrace.common.contracts.reasons import Reason, said_of
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.rollout import Rollout
from headrace.common.contracts.slots import ResourceSlots
from headrace.common.contracts.stored import as_stored
from headrace.common.contracts.vocabulary import RuntimeVariant, ServicePhase, ServiceStatus
from headrace.common.contracts.wording import Refused

MAX_REPLICAS = 10_000
"""Replicas of one service at most."""

Metadata = Annotated[
    dict[
        Annotated[str, StringConstraints(min_length=1, max_length=100)],
        Annotated[str, StringConstraints(max_length=4000)],
    ],
    Field(max_length=100),
]
Tags = Annotated[tuple[Slug, ...], Field(max_length=100)]


class CreateService(RevisionSpec):
    """A new service and its first revision."""

    name: Slug
    project: Reference | None = None
    """Name or id; may be left out when the caller has one project."""
    description: Annotated[str, StringConstraints(max_length=4000)] = ""
    replicas: Annotated[int, Field(ge=0, le=MAX_REPLICAS)] = 1
    open_to_public: bool = False
    resource_group: Slug | None = None
    """Machines to use; null: the group that is the project's default, else `default`."""
    metadata: Metadata = {}
    tags: Tags = ()
    drain_grace_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """Drain grace: how long open requests may take to finish when a replica leaves."""
    endpoint_port: Annotated[int | None, Field(ge=10_000, le=19_999)] = None
    """Own port at the app-proxy, beside path and host name. Below the ports that kernels and outgoing connections
    use."""
    balance: BalanceSettings = BalanceSettings()
    limits: LimitSettings = LimitSettings()
    caller_limits: CallerLimits = CallerLimits()
    """Limits of each caller without limits of its own."""
    models: Models = ()
    """Model names at the fleet's base URL, for callers of its project. No other living service of the project may have
    the same name or model name."""
    cors: CorsSettings = CorsSettings()
    """CORS; no origins: the app-proxy leaves it to the replica."""
    rollout: RolloutSettings = RolloutSettings()


_EMPTY: Final[Mapping[str, object]] = {
    name: CreateService.model_fields[name].default
    for name in ("description", "open_to_public", "metadata", "tags", "drain_grace_s", "models")
} | {"endpoint_port": 0}
"""Value of null in a change, for fields that cannot be null."""


class UpdateService(Change):
    """Changes of a service: present fields change, null resets a field to its value for a new service.

    Not of `spec` and `replicas`, which always have a value. A change of the spec rolls out a new revision without
    downtime.
    """

    spec: RevisionSpec | None = None
    """The new revision's whole spec (not a delta)."""
    refresh_secrets: bool = False
    """Roll out the newest versions of the service's secrets, but for those of which its spec names a version. Without it a new
    revision keeps the versions of the current one."""
    resource_group: Slug | None = None
    """Roll out a revision on machines of this group; null: of the project's default one. Without it the service keeps its
    group."""
    description: Annotated[str | None, StringConstraints(max_length=4000)] = None
    replicas: Annotated[int | None, Field(ge=0, le=MAX_REPLICAS)] = None
    open_to_public: bool | None = None
    metadata: Metadata | None = None
    tags: Tags | None = None
    drain_grace_s: Annotated[float | None, Field(ge=0, le=86_400)] = None
    endpoint_port: Annotated[int, Field(ge=10_000, le=19_999)] | Annotated[Literal[0], NO_TRUTH] | None = None
    """0 or null removes it."""
    balance: BalanceSettings | None = None
    """null resets it to a new service's; likewise for `limits`."""
    limits: LimitSettings | None = None
    caller_limits: CallerLimits | None = None
    """null removes all."""
    models: Models | None = None
    """Replaces all."""
    cors: CorsSettings | None = None
    """null removes all."""
    rollout: RolloutSettings | None = None
    """null resets it to a new service's."""
    message: Annotated[str, StringConstraints(max_length=4000)] = ""
    """Message of the change, kept in the history."""

    @model_validator(mode="after")
    def _emptied(self) -> Self:
        nulls = {name for name in self.model_fields_set if getattr(self, name) is None}
        for name in ("spec", "replicas"):
            if name in nulls:
                raise Refused(None, "a value, or the field left out: it stays as it is then", below=name)
        self.__dict__.update({name: value for name, value in _EMPTY.items() if name in nulls})  # frozen from here on
        return self


class ServiceView(Changeable):
    """A service: status (can it serve), phase (has it reached its desired state), and reason."""

    id: ServiceId
    name: str
    project_id: ProjectId
    project: str
    description: str
    status: ServiceStatus
    """Whether it can serve."""
    phase: ServicePhase
    """Whether it has reached its desired state."""
    reason: Annotated[Reason, said_of("service", "rollout", "placement", "session", "kernel")]
    replicas: NonNegativeInt
    """Desired number of replicas."""
    healthy_replicas: NonNegativeInt
    open_to_public: bool
    endpoint: str
    """Permanent base URL."""
    urls: tuple[EndpointUrl, ...] = ()
    """All base URLs: by path (`endpoint`), by host name where app-proxies have a domain, by own port where it has one."""
    fleet_endpoint: str
    """OpenAI-compatible base URL of all services: `model` is its name, or one of `models`; for callers of other
    projects, and those without a token, `<project>/<name>`."""
    example: str
    """Curl command line for the access type."""
    resource_group: str
    """Of `revision`: until its rollout has ended, replicas of the one before are on machines of that one's."""
    revision: int
    served_revision: int | None = None
    """Revision that served last while no other one did. It differs from `revision` during a rollout and after a failed
    one."""
    runtime: RuntimeVariant
    image: str | None
    folder_id: FolderId | None
    slots: ResourceSlots
    metadata: dict[str, str]
    tags: tuple[str, ...]
    drain_grace_s: float
    endpoint_port: int | None = None
    balance: Annotated[Balance, as_stored(Balance)] = Balance()
    limits: Annotated[Limits, as_stored(Limits)] = Limits()
    caller_limits: Annotated[RateLimits, as_stored(RateLimits)] = RateLimits()
    models: tuple[str, ...] = ()
    cors: Annotated[Cors, as_stored(Cors)] = Cors()
    rollout: Annotated[Rollout, as_stored(Rollout)] = Rollout()
    created_by: str
    created_at: AwareDatetime
    updated_at: AwareDatetime


class ServiceDetail(ServiceView):
    """A service with its replicas, the errors of failed starts, and the ends of replicas in operation."""

    effective: Annotated[EffectiveSpec | None, as_stored(EffectiveSpec)] = None
    """Effective spec of `revision`. For another one: GET /v1/services/{service}/revisions/{revision}."""
    folder_changed: bool | None = None
    """Whether the model folder has other files now than those that `revision` pinned: `service update` would roll them out. In
    the response to GET only; None without a pinned folder, or when the storage does not answer."""
    model_import: ModelImport | None = None
    """How far the files of `model_uri` are; None without one. `effective.source` has the version."""
    replica_list: tuple[ReplicaView, ...]
    errors: tuple[RouteError, ...]
    next_retry_at: AwareDatetime | None = None
    ends: tuple[ReplicaEnd, ...] = ()
    """The newest 20 replicas that ended in operation, newest first."""
    ends_in_a_row: NonNegativeInt = 0
    """Consecutive ends, without a replica that ran well for ten minutes in between."""
    next_restart_at: AwareDatetime | None = None
    """Back-off: the replacement of an ended replica is not started before."""
    last_failed_rollout: FailedRollout | None = None
    """The newest rollout, if it failed, was rolled back or aborted."""
    note: Annotated[Reason | None, said_of("note")] = None
    """Remarks in the response to a change: what it left unchanged, and why."""


class NameAvailability(View):
    """Whether a service may have this name, and if not, why."""

    name: str
    available: bool
    reason: Annotated[Reason, said_of("name")]
