"""Manager → agent: what a machine must run."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, ClassVar, Final, Literal, Self
from uuid import UUID

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from headrace.common.contracts.ids import (
    AgentId,
    FolderId,
    GpuId,
    KernelId,
    ProjectId,
    RevisionId,
    ServiceId,
    SessionId,
    SnapshotId,
)
from headrace.common.contracts.manifest import snapshot_files
from headrace.common.contracts.messages.envelope import Message, Part
from headrace.common.contracts.model import HealthCheck, PreStartAction
from headrace.common.contracts.slots import MIN_SHM, ResourceSlots

SessionKind = Literal["inference", "validation", "job"]
KernelRole = Literal["main", "sub"]


NO_FOLDER: Final = FolderId(UUID(int=0))
"""Folder of a mount that is none: an agent that does not know `host_path` does not start it."""


class Mount(Part):
    """Folder, or a snapshot of it, mounted in the kernel. The agent of a shared storage finds it at
    `<folders_root>/<source>`.
    """

    folder_id: FolderId
    target: str
    """Absolute path inside the kernel."""
    read_only: bool = True
    snapshot_id: SnapshotId | None = None
    """Snapshot to mount instead of the folder, always read-only. None: the folder itself, as it is now."""
    host_path: str | None = None
    """Path on the machine to mount instead of a folder, always read-only, below one that the agent's operator allows."""

    @property
    def source(self) -> str:
        """Path of the mounted files, relative to the root of the folders."""
        return str(self.folder_id) if self.snapshot_id is None else snapshot_files(self.folder_id, self.snapshot_id)


class GpuGrant(Part):
    """GPU assigned to the kernel: `share` 1 is the whole GPU."""

    gpu_id: GpuId
    share: Annotated[Decimal, Field(gt=0, le=1)] = Decimal(1)


class RegistryLogin(Part):
    """Login at the registry of a private image. Secret."""

    user: str
    password: Annotated[str, Field(repr=False)]


class ReplicaSpec(Part):
    """Spec shared by the kernels of one revision."""

    image: str | None
    """None only on the process runtime."""
    command: tuple[str, ...]
    port: Annotated[int, Field(ge=1, le=65535)]
    """Port of the program inside the kernel."""
    model_path: str
    """Absolute path of the model inside the kernel (`model_path` of the definition)."""
    health_check: HealthCheck | None
    pre_start_actions: tuple[PreStartAction, ...] = ()
    environ: dict[str, str] = {}
    slots: ResourceSlots
    shm_size: Annotated[int, Field(ge=MIN_SHM)] | None = None
    """Bytes of shared memory of the container; None: as the agent is set. Agents before 0.2 give as they are set."""
    mounts: tuple[Mount, ...] = ()
    stop_grace_s: Annotated[float, Field(ge=0, le=3600)] = 10.0
    """Time between SIGTERM and SIGKILL."""
    registry_login: RegistryLogin | None = None
    """Login with which the image is pulled; None: without one."""


class _Kernel(Part):
    """Fields of one kernel of its own."""

    kernel_id: KernelId
    session_id: SessionId
    service_id: ServiceId | None
    revision_id: RevisionId | None
    project_id: ProjectId
    kind: SessionKind
    role: KernelRole = "main"
    rank: NonNegativeInt = 0
    name: str
    """Name in logs and labels: service name, or the purpose of the session."""
    gpus: tuple[GpuGrant, ...] = ()


class KernelSpec(ReplicaSpec, _Kernel):
    """Complete spec of one container: the agent looks nothing up."""


class PlannedKernel(_Kernel):
    """Kernel of a plan, without the spec that it shares with others of its revision."""

    spec: str
    """Key of the plan's `specs`."""

    def resolved(self, shared: ReplicaSpec) -> KernelSpec:
        """Return the complete KernelSpec; the parts of `shared` are not copied."""
        own = {name: getattr(self, name) for name in _Kernel.model_fields}
        return KernelSpec(**own, **{name: getattr(shared, name) for name in ReplicaSpec.model_fields})


class NodePlan(Message):
    """Manager → agent: all kernels that the machine must run. Replaces any plan of a lower generation.

    A spec is sent once for all kernels of its revision, and encrypted where the agent has a key for it; one with secrets is not
    sent otherwise. Plans of 0.1, which
    agents may have on disk and older managers send, have whole kernels and no `specs`.
    """

    subject: ClassVar = "plan.agent.{agent_id}"
    v: Literal[1] = 1
    agent_id: AgentId
    generation: PositiveInt
    specs: dict[str, ReplicaSpec] = {}
    kernels: tuple[Annotated[KernelSpec | PlannedKernel, Field(union_mode="left_to_right")], ...]
    watched: dict[ServiceId, tuple[str, ...]] | None = None
    """Services with enabled rules, with the engine metrics that these use: others are not measured for the autoscaler.
    None: the manager's version does not send it, and everything is measured."""
    removed: str | None = None
    """Set in the last plan of a machine that an operator removed, which has no kernels: who did, when and why. Reports of it
    are refused."""
    encrypted_specs: str | None = None
    """`specs` as JSON, encrypted to the agent's key (`plan_encryption`; base64), instead of `specs`: the stream stores what
    managers publish. None: the agent reports no key, or no kernel has a spec."""

    @model_validator(mode="after")
    def _has_each_spec(self) -> Self:
        if self.encrypted_specs is not None:
            return self
        missing = {k.spec for k in self.kernels if isinstance(k, PlannedKernel)} - self.specs.keys()
        if missing:
            raise ValueError(f"specs lacks {', '.join(sorted(missing)[:3])}")
        return self

    def resolved(self, decrypted: Mapping[str, ReplicaSpec] | None = None) -> dict[KernelId, KernelSpec]:
        """Return the complete KernelSpec of each kernel, by its id. `decrypted`: of an encrypted plan.

        Raises KeyError where a spec is missing.
        """
        specs = self.specs if decrypted is None else decrypted
        whole = (k if isinstance(k, KernelSpec) else k.resolved(specs[k.spec]) for k in self.kernels)
        return {kernel.kernel_id: kernel for kernel in whole}
