"""Services, revisions and replicas."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal, Self

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    Field,
    NonNegativeInt,
    StringConstraints,
    field_validator,
    model_validator,
)

from headrace.common.contracts.http.page import Body, View
from headrace.common.contracts.http.rollouts import ReplicaEnd, Rollout, RolloutSettings
from headrace.common.contracts.http.tokens import CallerLimits
from headrace.common.contracts.http.traffic import BalanceSettings, LimitSettings, Models
from headrace.common.contracts.ids import (
    AgentId,
    EventId,
    FolderId,
    KernelId,
    ProjectId,
    ServiceId,
    SessionId,
    Slug,
)
from headrace.common.contracts.messages.plans import SessionKind
from headrace.common.contracts.messages.reports import HealthStatus, KernelState
from headrace.common.contracts.messages.routes import Balance, Limits, RateLimits
from headrace.common.contracts.model import HealthCheck, PreStartAction
from headrace.common.contracts.reasons import Reason
from headrace.common.contracts.slots import RequestedSlots, ResourceSlots
from headrace.common.contracts.stored import as_stored
from headrace.common.contracts.wording import Refused, pattern

RuntimeVariant = Literal["vllm", "sglang", "nim", "huggingface-tgi", "llama-cpp", "cmd", "custom"]
ServiceStatus = Literal["healthy", "degraded", "unhealthy"]
ServicePhase = Literal["deploying", "deployed", "stopping", "stopped", "failed"]
SessionStatus = Literal["pending", "placed", "running", "draining", "stopping", "ended"]
"""pending: waits for a machine. placed: in a machine's plan. running: its main kernel runs. draining, stopping, ended: on the way out."""

ENVIRON_NAME = pattern(
    r"^[A-Za-z_][A-Za-z0-9_]{0,254}$",
    "a variable's name: at most 255 letters, digits and _, not beginning with a digit",
)
EnvironName = Annotated[str, StringConstraints(pattern=ENVIRON_NAME)]
EnvironValue = Annotated[str, StringConstraints(max_length=32_768)]
_IMAGE = pattern(
    r"^[A-Za-z0-9][A-Za-z0-9._/:@-]*$",
    "an image as a container engine names it, for example registry.example.com/vllm:v0.9",
)
Image = Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=_IMAGE)]
ABSOLUTE = pattern(r"^/[^\x00]*$", "a path that begins with /")
AbsolutePath = Annotated[str, StringConstraints(pattern=ABSOLUTE, max_length=4096)]


CommandWords = Annotated[tuple[str, ...], Field(min_length=1, max_length=1000)]
CommandLine = Annotated[str, StringConstraints(min_length=1, max_length=65_536)]


def values_as_text(environ: object) -> object:
    """Return variables with their values as text: `PORT: 8000` means the text 8000. Raises Refused for what has no text."""
    return {name: _as_text(name, value) for name, value in environ.items()} if isinstance(environ, dict) else environ


def _as_text(name: object, value: object) -> object:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, str):
        raise Refused(value, "text, a number, true or false", below=str(name))
    return value


class ExtraMount(Body):
    """A `data` or `general` folder (name or id) at a path of its own (default `/home/work/<folder name>`)."""

    folder: Annotated[str, StringConstraints(min_length=1, max_length=64)]
    target: AbsolutePath | None = None
    read_only: bool = True


class RevisionSpec(Body):
    """Everything needed to start one replica. What is left out comes from service-definition.toml, then from defaults."""

    folder: Annotated[str | None, StringConstraints(min_length=1, max_length=64)] = None
    """Model folder, by name or id. Needed for `custom`."""
    runtime: RuntimeVariant = "custom"
    image: Image | None = None
    architecture: Literal["x86_64", "aarch64"] | None = None
    definition_path: Annotated[str | None, StringConstraints(max_length=1024)] = None
    """Path of the model definition in the folder; default model-definition.yaml, then .yml."""
    model_destination: AbsolutePath | None = None
    """Where the model folder is mounted; default /models. `custom` and `cmd` only."""
    command: CommandWords | CommandLine | None = None
    """For `cmd`: the command line. For others the definition or variant says it."""
    port: Annotated[int | None, Field(ge=1, le=65535)] = None
    slots: RequestedSlots | None = None
    environ: Annotated[
        dict[EnvironName, EnvironValue],
        BeforeValidator(values_as_text, json_schema_input_type=dict[str, str | float | bool]),
    ] = {}
    """Numbers and booleans become text, as YAML and TOML write them: 4, 1.5, true."""
    extra_mounts: Annotated[tuple[ExtraMount, ...], Field(max_length=100)] = ()
    cluster_size: Literal[1] = 1

    @field_validator("environ")
    @classmethod
    def _bounded(cls, environ: dict[str, str]) -> dict[str, str]:
        if len(environ) > 500:
            raise Refused(f"{len(environ)} variables", "at most 500")
        return environ


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
    project: str | None = None
    """Name or id; may be left out when the caller has one project."""
    description: Annotated[str, StringConstraints(max_length=4000)] = ""
    replicas: Annotated[int, Field(ge=0, le=10_000)] = 1
    open_to_public: bool = False
    resource_group: Slug = "default"
    metadata: Metadata = {}
    tags: Tags = ()
    drain_grace_s: Annotated[float, Field(ge=0, le=86_400)] = 60.0
    """How long open requests may take to finish when a replica leaves."""
    endpoint_port: Annotated[int | None, Field(ge=10_000, le=19_999)] = None
    """A port of its own at the app-proxy, beside path and host name. Below the ports that kernels and outgoing connections use."""
    balance: BalanceSettings = BalanceSettings()
    limits: LimitSettings = LimitSettings()
    caller_limits: CallerLimits = CallerLimits()
    """Bounds of each caller without limits of its own."""
    models: Models = ()
    """Names under which the fleet's base URL finds it, for callers of its project. No other living service of the project may be
    called so or be found by it."""
    rollout: RolloutSettings = RolloutSettings()


class UpdateService(Body):
    """Fields that are present change; a change of the spec rolls out a new revision without downtime."""

    spec: RevisionSpec | None = None
    """The new revision's whole spec (not a delta)."""
    description: Annotated[str | None, StringConstraints(max_length=4000)] = None
    replicas: Annotated[int | None, Field(ge=0, le=10_000)] = None
    open_to_public: bool | None = None
    metadata: Metadata | None = None
    tags: Tags | None = None
    drain_grace_s: Annotated[float | None, Field(ge=0, le=86_400)] = None
    endpoint_port: Annotated[int, Field(ge=10_000, le=19_999)] | Literal[0] | None = None
    """0 takes it away."""
    balance: BalanceSettings | None = None
    """null: as it is for a new service. So with `limits`."""
    limits: LimitSettings | None = None
    caller_limits: CallerLimits | None = None
    """null takes all away."""
    models: Models | None = None
    """All of them."""
    rollout: RolloutSettings | None = None
    """null: as it is for a new service."""
    message: Annotated[str, StringConstraints(max_length=4000)] = ""
    """Update message, kept in the history."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_fields_set - {"message"}:
            raise Refused(
                "nothing to change",
                f"one of {', '.join(name for name in type(self).model_fields if name != 'message')}",
            )
        return self


class ReplicaView(View):
    """One replica: where it is, how it is, and why."""

    id: SessionId
    kernel_id: KernelId | None
    revision: int
    status: SessionStatus
    kernel_state: KernelState | None
    health: HealthStatus
    reason: Reason
    agent_id: AgentId | None
    address: str | None
    weight: int = 100
    """Share of new requests against the other replicas' weights."""
    created_at: AwareDatetime


class RouteError(View):
    """A failed start, kept until cleared."""

    at: AwareDatetime
    session_id: SessionId
    reason: Reason


class ServiceView(View):
    """A service: status (can it serve), phase (is it where it was told to be), and why."""

    id: ServiceId
    name: str
    project_id: ProjectId
    project: str
    description: str
    status: ServiceStatus
    phase: ServicePhase
    reason: Reason
    replicas: NonNegativeInt
    """Wanted."""
    healthy_replicas: NonNegativeInt
    open_to_public: bool
    endpoint: str
    """Permanent base URL."""
    fleet_endpoint: str
    """OpenAI-compatible base URL of all services: its name, or one of `models`, goes into `model`; for callers of other projects,
    and those without a token, `<project>/<name>`."""
    example: str
    """A curl line that is right for the access type."""
    resource_group: str
    revision: int
    served_revision: int | None = None
    """The revision that served last while no other one did. Other than `revision` during a rollout and after one that failed."""
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
    rollout: Annotated[Rollout, as_stored(Rollout)] = Rollout()
    created_by: str
    created_at: AwareDatetime
    updated_at: AwareDatetime


class EffectiveMount(View):
    """A folder in a replica's file system."""

    folder_id: FolderId
    folder: str | None = None
    """Its name; of a deleted one the name that it had."""
    target: str
    read_only: bool


class EffectiveSpec(View):
    """What a replica of a revision is started with: the spec with the folder's files and the runtime's defaults filled in.

    It is worked out when the revision is made, and stays so when files change. Bounded as in docs/limits.md.
    """

    runtime: RuntimeVariant
    model_name: str
    image: str | None
    architecture: str | None
    """None: any."""
    command: tuple[str, ...]
    """Empty: the image's own."""
    port: int
    """Where the replica listens inside its container."""
    model_path: str
    health_check: HealthCheck | None
    """None: ready when the port accepts a connection."""
    pre_start_actions: tuple[PreStartAction, ...] = ()
    environ: dict[str, str] = {}
    slots: ResourceSlots
    mounts: tuple[EffectiveMount, ...] = ()
    """The model folder, if there is one, comes first."""


class ServiceDetail(ServiceView):
    """A service with its replicas, the errors of failed starts, and the ends of replicas in operation."""

    effective: Annotated[EffectiveSpec | None, as_stored(EffectiveSpec)] = None
    """Of `revision`. Of another one: GET /v1/services/{service}/revisions/{revision}."""
    replica_list: tuple[ReplicaView, ...]
    errors: tuple[RouteError, ...]
    next_retry_at: AwareDatetime | None = None
    ends: tuple[ReplicaEnd, ...] = ()
    """The newest 20 replicas that ended in operation, newest first."""
    ends_in_a_row: NonNegativeInt = 0
    """Without one that ran well for ten minutes in between."""
    next_restart_at: AwareDatetime | None = None
    """Until then the replacement of one that ended waits."""
    note: Reason | None = None
    """In the answer to a change: what it left as it was, and why."""


class HistoryEntry(View):
    """One change: who, when, what, with which message."""

    id: EventId
    at: AwareDatetime
    actor: str
    action: str
    message: str
    details: dict[str, object]


class RevisionView(View):
    """One immutable revision: what was asked for, by whom, with which message."""

    number: int
    spec: Annotated[RevisionSpec, as_stored(RevisionSpec)]
    created_at: AwareDatetime
    created_by: str
    message: str


class RevisionDetail(RevisionView):
    """One revision: what was asked for, and what its replicas are started with."""

    effective: Annotated[EffectiveSpec, as_stored(EffectiveSpec)]


class Rollback(Body):
    """Serve an earlier revision again: it becomes the newest one."""

    revision: Annotated[int, Field(ge=1, le=2_147_483_647)]
    message: Annotated[str, StringConstraints(max_length=4000)] = ""


class NameAvailability(View):
    """Whether a service may be called so, and if not, why."""

    name: str
    available: bool
    reason: Reason


class StartValidation(RevisionSpec):
    """Try a spec once without creating a service."""

    project: str | None = None
    resource_group: Slug = "default"


class ValidationView(View):
    """A trial run. `verdict` is there when `done`: passed means that the model answered its health check."""

    id: SessionId
    kind: SessionKind
    status: SessionStatus
    done: bool
    verdict: Literal["passed", "failed"] | None
    reason: Reason
    started_at: AwareDatetime


class Usage(View):
    """What a project holds now, per slot."""

    used: dict[str, Decimal]
