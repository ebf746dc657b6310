"""Records of machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.messages.reports import Gpu, KernelReport
from headrace.manager.domain.cordon import Cordon


@dataclass(frozen=True)
class Agent:
    """A machine with its agent's last report."""

    id: str
    lost_at: datetime | None
    resource_group: str
    architecture: str
    machine: Mapping[str, Any]
    """As reported, by agents of any version."""
    gpus: tuple[Gpu, ...]
    kernels: tuple[KernelReport, ...]
    slots: Mapping[str, Any]
    allocated: Mapping[str, Any]
    last_seen_at: datetime
    plan_generation: int
    plan_problem: str | None
    plan_key: str | None
    """Key to which its plan is encrypted; None: its agent reports none."""
    applied_generation: int
    addresses: tuple[str, ...] | None
    address_problem: str | None
    cordon: Cordon | None
    labels: Mapping[str, str]
    draining: bool


@dataclass(frozen=True)
class AgentDrain:
    """A drain of a machine; under way while `ended_at` is None."""

    id: UUID
    agent_id: str
    started_at: datetime
    started_by: str
    message: str
    moving: Sequence[ServiceId]
    """Services whose turn it is."""
    ended_at: datetime | None
    outcome: Literal["finished", "cancelled", "removed"] | None


@dataclass(frozen=True)
class RemovedAgent:
    """A machine whose reports are refused."""

    id: str
    removed_at: datetime
    removed_by: str
    reason: str
    refused_at: datetime | None
