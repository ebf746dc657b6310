"""Replicas of a service, their weights, and their ends."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    AwareDatetime,
    ConfigDict,
    Field,
)

from headrace.common.contracts.http.page import Body, View
from headrace.common.contracts.ids import (
    AgentId,
    KernelId,
    SessionId,
)
from headrace.common.contracts.reasons import Reason, said_of
from headrace.common.contracts.vocabulary import HealthStatus, KernelState, SessionStatus, TransferPhase

MAX_WEIGHT = 10_000


class PutWeight(Body):
    """A replica's traffic weight relative to the others': 100 is usual, 0 sends it no new requests."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)
    weight: Annotated[int, Field(ge=0, le=MAX_WEIGHT)]


class TransferView(View):
    """Progress of the folder that a replica's start waits for, on a machine that fetches folders from managers."""

    phase: TransferPhase
    bytes_done: Annotated[int, Field(ge=0)]
    """Bytes of the folder that are on the machine, also those that were there before."""
    bytes_total: Annotated[int, Field(ge=0)]
    bytes_per_s: Annotated[int, Field(ge=0)] = 0
    """Over the last ten seconds."""
    eta_s: Annotated[float, Field(ge=0)] | None = None
    """Time left at this rate; null: not known."""
    problem: str | None = None
    """Why nothing comes at the moment; it is tried again."""


class ReplicaView(View):
    """One replica: machine, state, and reason."""

    id: SessionId
    kernel_id: KernelId | None
    revision: int
    status: SessionStatus
    kernel_state: KernelState | None
    health: HealthStatus
    reason: Annotated[Reason, said_of("session", "placement", "kernel")]
    agent_id: AgentId | None
    address: str | None
    weight: int = 100
    """Traffic weight relative to the other replicas'."""
    created_at: AwareDatetime
    placed_at: AwareDatetime | None = None
    """When it got a machine."""
    started_at: AwareDatetime | None = None
    """When its container or process was made on the machine, its image and folder there."""
    healthy_at: AwareDatetime | None = None
    """When it first answered its health check."""
    ended_at: AwareDatetime | None = None
    exit_code: int | None = None
    failed_checks: Annotated[int, Field(ge=0)] = 0
    """Health checks that failed in a row."""
    replace_asked_at: AwareDatetime | None = None
    """When a user asked for another replica in its place: it leaves once that serves."""
    transfer: TransferView | None = None
    """Progress of its folder, while one is fetched for it; the reason says the same in words."""


class RouteError(View):
    """A failed start, kept until cleared."""

    at: AwareDatetime
    session_id: SessionId
    reason: Annotated[Reason, said_of("kernel", "session")]


class ReplicaEnd(View):
    """End of a replica in operation: its container exited, or it failed its health checks and was replaced, after it
    had served; or a failed start of a revision that had. One per replica; the newest 100 per service are kept.
    """

    at: AwareDatetime
    session_id: SessionId
    revision: int
    agent_id: AgentId | None
    started_at: AwareDatetime
    reason: Annotated[Reason, said_of("kernel", "session")]
    """The failed check; or how it exited, with the last lines of its log as far as its machine had them."""
    exit_code: int | None
    """None if it failed its health checks."""
    signal: str | None
    """Name of the signal that ended it."""
