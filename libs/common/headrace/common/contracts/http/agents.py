"""Machines as operators see them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field

from headrace.common.contracts.http.page import Change, View
from headrace.common.contracts.ids import AgentId
from headrace.common.contracts.messages.reports import Disk, Gpu, Isolation, KernelReport
from headrace.common.contracts.places import as_written, is_host_name, read_address
from headrace.common.contracts.slots import ResourceSlots
from headrace.common.contracts.wording import Refused


def _address(text: str) -> str:
    if read_address(text) is None and not is_host_name(text):
        raise Refused(text[:100], "an IP address, or the name of a host")
    return as_written(text)


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
    """Where its replicas may be, in place of all others: what it reports of another address gets no requests. Addresses that
    another machine has, too. null: the next one that it reports, as when it was new."""


class AgentView(View):
    """One machine: capacity, allocated slots, and whether its agent reports."""

    id: AgentId
    status: Literal["alive", "lost"]
    resource_group: str
    hostname: str
    architecture: str
    address: str
    """As it reports it."""
    addresses: tuple[str, ...] | None = None
    """Those that are allowed for it: its first one, or what an operator said. None: the next one that it reports."""
    address_problem: str | None = None
    """Why the address that it reports is not allowed: it gets no replicas, and those that it has no requests."""
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
    """One machine, with GPUs and kernels as last reported."""

    gpus: tuple[Gpu, ...]
    kernels: tuple[KernelReport, ...]
