"""Manager → agent: what a machine must run."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from headrace.common.contracts.ids import (
    AgentId,
    FolderId,
    GpuId,
    KernelId,
    ProjectId,
    RevisionId,
    ServiceId,
    SessionId,
)
from headrace.common.contracts.messages.envelope import Message
from headrace.common.contracts.model import HealthCheck, PreStartAction
from headrace.common.contracts.slots import ResourceSlots

SessionKind = Literal["inference", "validation", "job"]
KernelRole = Literal["main", "sub"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Mount(_Part):
    """A folder made visible inside the kernel. The agent finds it at `<folders_root>/<folder_id>`."""

    folder_id: FolderId
    target: str
    """Absolute path inside the kernel."""
    read_only: bool = True


class GpuGrant(_Part):
    """One GPU of the machine that the kernel may use: `share` 1 is the whole GPU."""

    gpu_id: GpuId
    share: Annotated[Decimal, Field(gt=0, le=1)] = Decimal(1)


class KernelSpec(_Part):
    """Everything needed to start one container, resolved: the agent looks nothing up."""

    kernel_id: KernelId
    session_id: SessionId
    service_id: ServiceId | None
    revision_id: RevisionId | None
    project_id: ProjectId
    kind: SessionKind
    role: KernelRole = "main"
    rank: NonNegativeInt = 0
    name: str
    """For logs and labels: service name, or what the session is for."""
    image: str | None
    """None only on the process runtime."""
    command: tuple[str, ...]
    port: Annotated[int, Field(ge=1, le=65535)]
    """The port the program listens on inside the kernel."""
    model_path: str
    """Absolute path of the model inside the kernel (`model_path` of the definition)."""
    health_check: HealthCheck | None
    pre_start_actions: tuple[PreStartAction, ...] = ()
    environ: dict[str, str] = {}
    slots: ResourceSlots
    gpus: tuple[GpuGrant, ...] = ()
    mounts: tuple[Mount, ...] = ()
    stop_grace_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """Between SIGTERM and SIGKILL."""


class NodePlan(Message):
    """Manager → agent: everything the machine must run. Replaces any plan of a lower generation."""

    subject: ClassVar = "plan.agent.{agent_id}"
    v: Literal[1] = 1
    agent_id: AgentId
    generation: PositiveInt
    kernels: tuple[KernelSpec, ...]
