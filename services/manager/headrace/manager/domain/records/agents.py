"""Records of machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace.common.contracts.messages.reports import Gpu, KernelReport


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
    applied_generation: int
    addresses: tuple[str, ...] | None
    address_problem: str | None
