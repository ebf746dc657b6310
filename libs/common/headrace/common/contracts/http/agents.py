"""Machines, for operators."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from headrace.common.contracts.addresses import canonical, is_host_name, parse_address
from headrace.common.contracts.http.page import Body, Change, Changeable, View
from headrace.common.contracts.ids import AgentId, Slug
from headrace.common.contracts.messages.reports import Disk, Gpu, Isolation, KernelReport
from headrace.common.contracts.slots import ResourceSlots
from headrace.common.contracts.wording import Refused, pattern

MAX_CORDON_REASON = 200
"""Characters of a cordon's or removal's reason: it stands in the reason of each session that waits."""
MAX_LABELS = 64


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
    resource_group: Slug | None = None
    """Moves the machine to this resource group: services of it are placed there from now on. What runs there goes on; a drain moves
    it away. null: `default`."""


LabelKey = Annotated[
    str,
    StringConstraints(
        pattern=pattern(
            r"^[a-z0-9]([a-z0-9._/-]{0,61}[a-z0-9])?$",
            "1 to 63 lower-case letters, digits, dots, slashes, underscores and hyphens, the first and the last a letter or digit",
        )
    ),
]
LabelValue = Annotated[
    str,
    StringConstraints(
        pattern=pattern(
            r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$",
            "up to 63 letters, digits, dots, underscores and hyphens, the first and the last a letter or digit; or an empty text",
        )
    ),
]
OperatorReason = Annotated[str, StringConstraints(max_length=MAX_CORDON_REASON, strip_whitespace=True)]


class ChangeLabels(Body):
    """Changes of the labels that operators give a machine."""

    labels: Annotated[dict[LabelKey, LabelValue | None], Field(min_length=1, max_length=MAX_LABELS)]
    """Label → value; null takes the label away. Labels that are not named stay."""


class CordonAgent(Body):
    """Cordon of a machine: nothing new is placed there."""

    reason: OperatorReason | None = None
    """Why, for those whose sessions wait. null: as before, of a machine that is cordoned already; an empty text takes it away."""


class Cordon(View):
    """Cordon of a machine: nothing new is placed there; what runs goes on."""

    at: AwareDatetime
    by: str
    """Name of the operator."""
    reason: str


class RemovedAgent(View):
    """Machine that does not belong to the installation any more: its reports are refused until it is admitted again."""

    id: AgentId
    removed_at: AwareDatetime
    removed_by: str
    reason: str
    refused_at: AwareDatetime | None
    """Time of the last report that was refused, to a minute; None: it has not reported since."""


class AgentView(Changeable):
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
    cordon: Cordon | None = None
    """None: sessions are placed there."""
    draining: bool = False
    """Whether its replicas are being moved elsewhere."""
    labels: dict[str, str] = {}
    """Labels that operators gave it."""
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
    plan_encrypted: bool = False
    """Whether what its plan says of replicas is encrypted to a key of the machine; false: its agent's version reports none."""
    checks: dict[str, str] = {}
    """Readiness checks and warnings that its agent does not pass, and why; one of another version may report none."""


class AgentDetail(AgentView):
    """One machine, with GPUs and kernels as last reported."""

    gpus: tuple[Gpu, ...]
    kernels: tuple[KernelReport, ...]
