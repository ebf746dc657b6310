"""Agent → manager and app-proxy → manager: what is seen."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AwareDatetime, Field, NonNegativeInt, PositiveInt, StringConstraints

from headrace.common.contracts.ids import AgentId, GpuId, KernelId, ProxyId, ServiceId, SessionId
from headrace.common.contracts.messages.envelope import Message, Part
from headrace.common.contracts.messages.instances import ServiceInstance
from headrace.common.contracts.reasons import Reason, said_of
from headrace.common.contracts.slots import ResourceSlots
from headrace.common.contracts.vocabulary import HealthStatus, KernelState, TransferPhase

Architecture = Literal["x86_64", "aarch64"]
MAX_KERNELS = 4096
MAX_GPUS = 256
MAX_OWN_PORTS = 10_000
"""As many as there are ports that a service may ask for."""
MAX_DOMAIN = 253
"""Characters of a domain name (RFC 1035)."""
Word = Annotated[str, StringConstraints(max_length=256)]
"""Name of something of a machine; managers store it."""
Sentence = Annotated[str, StringConstraints(max_length=4000)]


class Gpu(Part):
    """GPU as NVML (or the simulation) reports it. Memory in bytes, utilisation in 0–100."""

    gpu_id: GpuId
    """NVML's UUID, stable over reboots."""
    index: NonNegativeInt
    model: Word
    memory_bytes: NonNegativeInt
    memory_used_bytes: NonNegativeInt = 0
    utilization_percent: Annotated[float, Field(ge=0, le=100)] = 0.0
    simulated: bool = False


class Isolation(Part):
    """Network isolation between the kernels of different projects on a machine.

    `firewall`: they reach neither each other nor the machine, private and link-local addresses. `networks`: not each
    other, but all the rest. `none`: no isolation.
    """

    level: Literal["firewall", "networks", "none"]
    text: Sentence


class Disk(Part):
    """File system that replicas need: of the agent's data folder, or of the container engine's data."""

    free_bytes: NonNegativeInt
    total_bytes: NonNegativeInt
    reserve_bytes: NonNegativeInt
    """Below this much free space no replica is started on the machine; running ones continue."""

    @property
    def has_room(self) -> bool:
        """True if there is room for new replicas."""
        return self.free_bytes >= self.reserve_bytes


class Machine(Part):
    """The agent's machine. `slots` is its whole capacity."""

    hostname: Word
    architecture: Architecture
    address: Word
    """Address at which app-proxies reach this machine's kernels."""
    runtime: Literal["docker", "process", "slurm"]
    version: Word
    """Headrace version of the agent."""
    slots: ResourceSlots
    gpus: Annotated[tuple[Gpu, ...], Field(max_length=MAX_GPUS)] = ()
    isolation: Isolation | None = None
    """None: the agent's version does not report it."""
    disk: Disk | None = None
    """None: not reported."""
    engine_disk: Disk | None = None
    """File system of images and writable layers. None: the same one, no container engine, one of another machine, or
    not reported."""
    admin_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port of the agent's admin pages (`/metrics`) at `address`. None: they are not reachable there, or not reported."""
    plan_key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{43}$")] | None = None
    """Public key to which managers encrypt the specs in its plans (X25519, base64url). None: the agent's version has none, and
    they are not encrypted."""
    instance: ServiceInstance | None = None
    """The agent's process. None: its version does not report it."""


class Transfer(Part):
    """Progress of the folder that a kernel's start waits for."""

    phase: TransferPhase
    bytes_done: NonNegativeInt
    """Bytes of the folder that are on the machine, also those that were there before."""
    bytes_total: NonNegativeInt
    bytes_per_s: NonNegativeInt = 0
    """Over the last ten seconds."""
    eta_s: Annotated[float, Field(ge=0)] | None = None
    """Time left at this rate; None: not known."""
    problem: Sentence | None = None
    """Why nothing comes at the moment; it is tried again."""


class KernelReport(Part):
    """State of one kernel. `host`/`port` are set once its program may be reached."""

    kernel_id: KernelId
    session_id: SessionId
    service_id: ServiceId | None
    state: KernelState
    health: HealthStatus
    reason: Annotated[Reason, said_of("kernel")]
    host: Word | None = None
    port: int | None = None
    created_at: AwareDatetime | None = None
    """When the container was created; health times count from here."""
    exit_code: int | None = None
    failures: NonNegativeInt = 0
    """Consecutive failed health checks."""
    transfer: Transfer | None = None
    """Progress of its folder, while one is fetched for it."""


class NodeReport(Message):
    """Agent → manager, every 2 s and at once on change: the state of the whole machine."""

    subject: ClassVar = "report.agent.{agent_id}"
    v: Literal[1] = 1
    agent_id: AgentId
    incarnation: Word
    """New for each start of the agent process."""
    sequence: NonNegativeInt
    """Counts up within an incarnation: an older report that arrives late is dropped."""
    sent_at: AwareDatetime
    applied_generation: NonNegativeInt
    """Highest plan generation seen; 0 before the first. Kernels of that plan that are not in `kernels` do not run yet."""
    machine: Machine
    kernels: Annotated[tuple[KernelReport, ...], Field(max_length=MAX_KERNELS)]


class DrainReceipt(Part):
    """Receipt of one replica's drain: outcomes of its requests since this app-proxy first saw it drain. Counts only grow."""

    started: NonNegativeInt
    """Open when the drain began."""
    finished: NonNegativeInt
    """Answered completely, or left by their callers."""
    retried: NonNegativeInt
    """Moved to another replica before a byte of a response."""
    failed: NonNegativeInt
    """Ended in an error of the replica."""
    cut: NonNegativeInt
    """Still open at the end of the grace, and cut with an error."""
    slowest_s: Annotated[float, Field(ge=0)]
    """Longest duration of those that ended, from the request's head, in seconds."""


class DrainingRoute(Part):
    """Route that drains: it gets no new requests, and has `in_flight` open ones."""

    session_id: SessionId
    in_flight: NonNegativeInt
    receipt: DrainReceipt | None = None


class ProxyReport(Message):
    """App-proxy → manager, every second and at once on change: applied table generations, and draining replicas.

    A drained route is reported for another ten minutes, so that its receipt arrives.
    """

    subject: ClassVar = "report.proxy.{proxy_id}"
    v: Literal[1] = 1
    proxy_id: ProxyId
    sent_at: AwareDatetime
    url: str
    """Base URL for callers, for addresses by path."""
    generations: dict[ServiceId, int]
    """Applied table generation by service. A missing service is not routed here."""
    draining: tuple[DrainingRoute, ...] = ()
    ports_failed: dict[int, str] = {}
    """Own ports that could not be opened, and why; at most 100."""
    ports_open: Annotated[frozenset[int], Field(max_length=MAX_OWN_PORTS)] | None = None
    """Own ports on which it listens. None: its version does not report them."""
    domain: Annotated[str, StringConstraints(max_length=MAX_DOMAIN)] = ""
    """Domain of which each service has a host name. Empty: none, or its version does not report it."""
    admin_address: Annotated[str, Field(max_length=300)] = ""
    """HOST:PORT of its admin pages (`/metrics`). Empty: not reported."""
    instance: ServiceInstance | None = None
    """Its process. None: its version does not report it."""


class Held(Part):
    """Requests of one service that are queued at one app-proxy because no replica serves."""

    service_id: ServiceId
    requests: PositiveInt
    oldest_s: Annotated[float, Field(ge=0)]
    """Waiting time of the oldest queued request, in seconds."""


class HeldReport(Message):
    """App-proxy → autoscalers: requests that are queued for a first replica (scale from zero).

    Sent at once when the first is queued, every second while any is, and once when none is any more.
    """

    subject: ClassVar = "held.proxy.{proxy_id}"
    v: Literal[1] = 1
    proxy_id: ProxyId
    sent_at: AwareDatetime
    services: tuple[Held, ...] = ()
