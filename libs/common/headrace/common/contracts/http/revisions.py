"""Revisions: requested and effective specs."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from headrace.common.contracts.http.page import Body, View
from headrace.common.contracts.ids import FolderId, SnapshotId
from headrace.common.contracts.model import HealthCheck, ModelMetadata, PreStartAction
from headrace.common.contracts.model_uri import ModelSource
from headrace.common.contracts.origin import Origin
from headrace.common.contracts.revision import RevisionSpec
from headrace.common.contracts.secret import PinnedSecret
from headrace.common.contracts.slots import ResourceSlots
from headrace.common.contracts.stored import as_stored
from headrace.common.contracts.vocabulary import RuntimeVariant


class EffectiveMount(View):
    """A folder mounted in a replica."""

    folder_id: FolderId
    folder: str | None = None
    """Folder name; for a deleted folder its last name."""
    target: str
    read_only: bool
    snapshot_id: SnapshotId | None = None
    """Content that the revision pinned: SHA-256 of the manifest. None: the folder as it is at any time."""
    host_path: str | None = None
    """Path on the machines that is mounted instead of a folder, as it is at any time."""


class EffectiveSpec(View):
    """Effective spec of a replica: the revision's spec, completed by the folder's definition files and the runtime's
    defaults.

    It is computed when the revision is made, and stays when files change. Bounded as in docs/limits.md.
    """

    runtime: RuntimeVariant
    model_name: str
    image: str | None
    architecture: str | None
    """None: any."""
    command: tuple[str, ...]
    """Empty: the image's own."""
    port: int
    """Port inside the container."""
    model_path: str
    health_check: HealthCheck | None
    """None: ready once the port accepts a connection."""
    pre_start_actions: tuple[PreStartAction, ...] = ()
    environ: dict[str, str] = {}
    """Values of `masked` ones are left out: `********`."""
    masked: tuple[str, ...] = ()
    secrets: tuple[PinnedSecret, ...] = ()
    """Secrets at the versions with which replicas are started; without their values."""
    slots: ResourceSlots
    shm_size: int | None = None
    """Bytes of shared memory of a container; None: what the machine's agent gives (`docker_shm_bytes`)."""
    resource_group: str | None = None
    """Group of the machines on which its replicas are placed. None: of trial runs, which show it themselves."""
    mounts: tuple[EffectiveMount, ...] = ()
    """The model folder, if there is one, comes first."""
    source: ModelSource | None = None
    """The model URI at the version that the revision has, if its files come from one."""
    metadata: Annotated[ModelMetadata | None, as_stored(ModelMetadata)] = None
    """What the model definition says of the model; None without one, and of revisions that older versions made."""


class RevisionView(View):
    """One immutable revision: the requested spec, its author and message."""

    number: int
    spec: Annotated[RevisionSpec, as_stored(RevisionSpec)]
    created_at: AwareDatetime
    created_by: str
    message: str


class RevisionDetail(RevisionView):
    """One revision, with the effective spec of its replicas, and where each value of it comes from."""

    effective: Annotated[EffectiveSpec, as_stored(EffectiveSpec)]
    origins: dict[str, Origin] = {}
    """Origin by the path of the value in `effective` (`port`, `slots.cpu`, `environ.NAME`, `health_check.path`). Empty for
    revisions that older versions made."""


class Rollback(Body):
    """Roll out an earlier revision again: it becomes the newest one."""

    revision: Annotated[int, Field(ge=1, le=2_147_483_647)]
    message: Annotated[str, StringConstraints(max_length=4000)] = ""
