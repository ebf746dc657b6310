"""Machines, for operators."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field

from headrace.common.contracts.addresses import canonical, is_host_name, parse_address
from headrace.common.contracts.http.page import Change, View
from headrace.common.contracts.ids import AgentId
from headrace.common.contracts.messages.reports import Disk, Gpu, Isolation, KernelReport
from headrace.common.contracts.slots import ResourceSlots
from headrace.common.contracts.wording import Refused


def _address(text: str) -> str:
    if parse_address(text) is None and not is_host_name(text):
        raise Refused(text[:100], "an IP address, or the name of a host")
    return canonical(text)


def _each_once(addresses: tuple[str, ...]) -> tuple[str, ...]:
    for number, address in enumerate(addresses):
        if address in addresses[:number]:
            raise Refused(address, "each address once")
    return addresses


MachineAddress = Annotated[str, Field(max_length=253), AfterValidator(_address)]


class UpdateAgent(Change):
    """Changes of an agent's machine."""

    addresses: (
        Annotated[tuple[MachineAddress, ...], Field(min_length=1, max_length=16), AfterValidator(_each_once)] | None
    ) = None
    """Addresses at which its replicas may be, replacing all earlier ones: replicas at another address get no requests.
    They may belong to another machine too. null: the next one that it reports, as for a new agent."""


class AgentView(View):
    """One machine: capacity, allocated slots, and whether its agent reports."""

    id: AgentId
    status: Literal["alive", "lost"]
    resource_group: str
    hostname: str
    architecture: str
    address: str
    """Address as reported by the agent."""
    addresses: tuple[str, ...] | None = None
    """Allowed addresses of its replicas: the first one reported, or those an operator set. None: the next one that it
    reports."""
    address_problem: str | None = None
    """Why the reported address is not allowed: the agent gets no new replicas, and its present ones get no requests."""
    runtime: str
    version: str
    slots: ResourceSlots
    allocated: ResourceSlots
    last_seen_at: AwareDatetime
    plan_generation: int
    applied_generation: int
    isolation: Isolation | None = None
    """Network isolation of projects on the machine; None until the agent reports it."""
    disk: Disk | None = None
    """As last reported; None: not reported. Below the reserve no replicas are started."""
    engine_disk: Disk | None = None
    """The same of the container engine's data, if that is on another file system."""
    plan_problem: str | None = None
    """Why its newest plan cannot be built; it keeps the one before."""


class AgentDetail(AgentView):
    """One machine, with GPUs and kernels as last reported."""

    gpus: tuple[Gpu, ...]
    kernels: tuple[KernelReport, ...]
