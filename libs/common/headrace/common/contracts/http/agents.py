"""Machines as operators see them."""

from __future__ import annotations

from typing import Literal

from pydantic import AwareDatetime

from headrace.common.contracts.http.page import View
from headrace.common.contracts.ids import AgentId
from headrace.common.contracts.messages.reports import Disk, Gpu, Isolation, KernelReport
from headrace.common.contracts.slots import ResourceSlots


class AgentView(View):
    """One machine: capacity, what is allocated on it, whether it is heard of."""

    id: AgentId
    status: Literal["alive", "lost"]
    resource_group: str
    hostname: str
    architecture: str
    address: str
    runtime: str
    version: str
    slots: ResourceSlots
    allocated: ResourceSlots
    last_seen_at: AwareDatetime
    plan_generation: int
    applied_generation: int
    isolation: Isolation | None = None
    """What keeps replicas of different projects on the machine apart; None until its agent tells."""
    disk: Disk | None = None
    """As last reported; None: the agent does not say. Below the reserve it starts no replicas."""
    engine_disk: Disk | None = None
    """The same of the container engine's data, where that is on another file system."""
    plan_problem: str | None = None
    """Why its newest plan cannot be made; it keeps the one before."""


class AgentDetail(AgentView):
    """With GPUs and kernels as last reported."""

    gpus: tuple[Gpu, ...]
    kernels: tuple[KernelReport, ...]
