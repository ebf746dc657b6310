"""Records of replicas, of their failed starts, and of their ends in operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace.common.contracts.ids import KernelId, RevisionId, ServiceId, SessionId
from headrace.common.contracts.messages.plans import SessionKind
from headrace.common.contracts.vocabulary import HealthStatus, KernelState, SessionStatus


@dataclass(frozen=True)
class Replica:
    """A session and its main kernel, as views and status need them. Kernel fields are None before placement."""

    id: SessionId
    kind: SessionKind
    service_id: ServiceId | None
    revision_id: RevisionId | None
    revision: int
    status: SessionStatus
    health: HealthStatus
    was_healthy: bool
    reason_code: str
    reason_text: str
    created_at: datetime
    ended_at: datetime | None
    kernel_id: KernelId | None
    agent_id: str | None
    kernel_state: KernelState | None
    host: str | None
    port: int | None
    weight: int
    transfer: Mapping[str, Any] | None = None
    """Progress of its folder, as its machine reported it."""
    replace_asked_at: datetime | None = None
    """When a user asked for another replica in its place."""
    idle: bool = False
    """Whether it gets no requests until a blue-green rollout switches."""
    healthy_at: datetime | None = None
    """Time when it first became healthy."""
    placed_at: datetime | None = None
    started_at: datetime | None = None
    """When its machine made its container or process."""
    exit_code: int | None = None
    failures: int = 0
    """Health checks that failed in a row."""


@dataclass(frozen=True)
class StartError:
    """A failed start that was not cleared."""

    at: datetime
    session_id: SessionId
    reason_code: str
    reason_text: str


@dataclass(frozen=True)
class End:
    """The end of a replica in operation."""

    session_id: SessionId
    revision: int
    agent_id: str | None
    reason_code: str
    reason_text: str
    exit_code: int | None
    started_at: datetime
    at: datetime
