"""Messages between the app-proxy's parent and its workers: one union for each direction.

The parent's changes (tables, sockets) have a sequence number each, and go to every worker in that order; a worker's reports
acknowledge the last one that it has applied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

from pydantic import (
    Discriminator,
    Field,
    NonNegativeInt,
    PlainSerializer,
    PlainValidator,
    SecretStr,
    TypeAdapter,
    ValidationError,
)

from headrace.appproxy.ipc.codec import MAX_DESCRIPTORS, Codec, ControlMessage
from headrace.appproxy.ipc.snapshot import TrafficSnapshot
from headrace.appproxy.ipc.stats import StatsDelta
from headrace.appproxy.ipc.usage import UsageCounts
from headrace.appproxy.settings import Settings
from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.messages.routes import RouteTable

_NOT_FOR_WORKERS: Final = frozenset({"nats_user", "nats_password"})


def _plain_settings(settings: Settings) -> dict[str, object]:
    """Return the settings as JSON values with secrets in clear, without those of the bus, which workers do not use."""
    secrets = {
        name: value.get_secret_value()
        for name, value in settings
        if isinstance(value, SecretStr) and name not in _NOT_FOR_WORKERS
    }
    return settings.model_dump(mode="json", exclude={*secrets, *_NOT_FOR_WORKERS}) | secrets


def _settings(found: object) -> Settings:
    if isinstance(found, Settings):
        return found
    if not isinstance(found, dict):
        raise ValueError("settings are an object")
    try:
        return Settings(**found)
    except ValidationError as error:  # its own text would show the found value, secrets too
        raise ValueError("; ".join(f"{one['loc'][0]}: {one['msg']}" for one in error.errors())) from None


WorkerSettings = Annotated[Settings, PlainSerializer(_plain_settings), PlainValidator(_settings)]


# --- parent to worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(ControlMessage):
    """First message to a worker. Its descriptors: the in-flight table's memory, then one eventfd per column."""

    descriptors: ClassVar[range] = range(2, MAX_DESCRIPTORS + 1)
    number: NonNegativeInt
    """Number of the worker; its successor has the same."""
    workers: NonNegativeInt
    """Number of workers that share limits and load."""
    column: NonNegativeInt
    """Its column of the in-flight table."""
    rows: NonNegativeInt
    settings: WorkerSettings
    handover: str
    """Instance id of the parent, by which a worker whose parent died recognises the successor (handover.py); empty: it
    does not wait for one."""
    kind: Literal["start"] = "start"


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyTable(ControlMessage):
    """Apply a service's route table."""

    sequence: NonNegativeInt
    table: RouteTable
    rows: dict[SessionId, NonNegativeInt]
    """Rows of its replicas in the in-flight table."""
    kind: Literal["apply-table"] = "apply-table"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen(ControlMessage):
    """Accept connections on a listening socket, passed as descriptor. `own_port`: the service's own port; None for the
    shared one.
    """

    descriptors: ClassVar[range] = range(1, 2)
    sequence: NonNegativeInt
    own_port: int | None
    kind: Literal["listen"] = "listen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlisten(ControlMessage):
    """Stop accepting on a service's own port."""

    sequence: NonNegativeInt
    own_port: int
    kind: Literal["unlisten"] = "unlisten"


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced(ControlMessage):
    """All tables and sockets of the parent were sent: the worker is ready once it has applied them."""

    sequence: NonNegativeInt
    kind: Literal["synced"] = "synced"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain(ControlMessage):
    """Stop accepting, let open requests finish within the grace, and exit."""

    grace_s: Annotated[float, Field(ge=0)]
    kind: Literal["drain"] = "drain"


ParentMessage = Annotated[Start | ApplyTable | Listen | Unlisten | Synced | Drain, Discriminator("kind")]


# --- worker to parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Report(ControlMessage):
    """A worker's state: applied messages, open requests, and counters since the last report.

    Sent four times a second, and soon after a change.
    """

    sequence: NonNegativeInt
    """Sequence number of the parent's last change that it has applied."""
    ready: bool
    """True once it has applied everything that existed at its start."""
    changed: bool
    """True if there is a change that the manager should get at once."""
    snapshot: TrafficSnapshot
    stats: StatsDelta
    usage: tuple[UsageCounts, ...]
    """Usage of callers since the last report."""
    kind: Literal["report"] = "report"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving(ControlMessage):
    """The worker got SIGTERM: it serves until the parent has a successor and sends Drain."""

    kind: Literal["leaving"] = "leaving"


WorkerMessage = Annotated[Report | Leaving, Discriminator("kind")]

PARENT_MESSAGES: Final[Codec[ParentMessage]] = Codec(TypeAdapter(ParentMessage))
WORKER_MESSAGES: Final[Codec[WorkerMessage]] = Codec(TypeAdapter(WorkerMessage))
