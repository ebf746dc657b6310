"""Resolved spec of a revision: spec, definition files and defaults merged, with nothing left open.

It is stored with the revision, so that what a revision starts never changes when files or defaults do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from headrace.common.contracts.ids import FolderId, ImportId, SnapshotId
from headrace.common.contracts.messages.plans import Mount
from headrace.common.contracts.model import HealthCheck, ModelMetadata, PreStartAction
from headrace.common.contracts.model_uri import ModelSource
from headrace.common.contracts.origin import Origin
from headrace.common.contracts.secret import PinnedSecret
from headrace.common.contracts.slots import ResourceSlots
from headrace.common.contracts.vocabulary import RuntimeVariant


class ResolvedSpec(BaseModel):
    """Everything that one replica needs, stored as JSON with the revision.

    The plans loop makes kernels of it without a lookup.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
    runtime: RuntimeVariant
    folder_id: FolderId | None = None
    """The model folder; also the first of `mounts`."""
    model_name: str
    image: str | None
    """None runs on the process runtime only."""
    architecture: Literal["x86_64", "aarch64"] | None
    """None fits every machine."""
    command: tuple[str, ...]
    """Empty: the image's own."""
    port: Annotated[int, Field(ge=1, le=65535)]
    model_path: str
    health_check: HealthCheck | None
    """None: ready when the port accepts a connection."""
    pre_start_actions: tuple[PreStartAction, ...] = ()
    environ: dict[str, str] = {}
    masked: tuple[str, ...] = ()
    """Variables whose values are not shown."""
    slots: ResourceSlots
    shm_size: int | None = None
    """Bytes of shared memory of a container; None: what the machine's agent gives."""
    resource_group: str | None = None
    """Machines on which replicas may be placed. None: of trial runs, whose session has it."""
    mounts: tuple[Mount, ...] = ()
    source: ModelSource | None = None
    """Where the files of the model folder come from, if from a URI. Until they were imported, the first mount has no
    snapshot, and no replica is placed; then it is filled in, once."""

    secrets: tuple[PinnedSecret, ...] = ()
    """Secrets at the versions with which replicas are started; their values are looked up when a plan is encrypted."""
    secret_bytes: int = 0
    """What their values add to a plan."""

    @property
    def importing(self) -> ImportId | None:
        """Import that has to end before a replica can be placed."""
        return self.source.import_id if self.source is not None and self.snapshot_id is None else None

    @property
    def snapshot_id(self) -> SnapshotId | None:
        """Snapshot of the model folder; None without a folder, and of revisions made by versions without snapshots."""
        return self.mounts[0].snapshot_id if self.folder_id is not None and self.mounts else None


GROUP: Final = "resource_group"
"""Path of the resource group among the effective values."""


@dataclass(frozen=True)
class Resolution:
    """A resolved spec with what people see of it and replicas do not need: revisions that differ in these are equal."""

    spec: ResolvedSpec
    origins: Mapping[str, Origin] = field(default_factory=dict)
    """Where each value comes from, by its path in the effective spec; of older versions' revisions empty."""
    metadata: ModelMetadata | None = None
    """What the model definition says of the model."""

    def in_group(self, group: str, origin: Origin | None) -> Resolution:
        """Return it for replicas on machines of this resource group. `origin`: where that comes from, if it is known."""
        spec = self.spec.model_copy(update={"resource_group": group})
        return replace(self, spec=spec, origins=self.origins if origin is None else {**self.origins, GROUP: origin})
