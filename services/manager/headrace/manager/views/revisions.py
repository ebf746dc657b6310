"""Views of revisions."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.common.contracts import stored
from headrace.common.contracts.http.revisions import EffectiveSpec, RevisionDetail, RevisionView
from headrace.common.contracts.ids import FolderId
from headrace.common.contracts.model import ModelMetadata
from headrace.manager.domain.masking import masked_environ, masked_spec
from headrace.manager.domain.records.revisions import Revision
from headrace.manager.domain.variants.resolved_spec import ResolvedSpec


def revision_view(revision: Revision) -> RevisionView:
    """Return a revision with the requested spec."""
    return RevisionView(
        number=revision.number,
        spec=masked_spec(revision.spec),
        created_at=revision.created_at,
        created_by=revision.created_by,
        message=revision.message,
    )


def revision_detail(revision: Revision, folders: Mapping[FolderId, str]) -> RevisionDetail:
    """Return a revision with requested and effective spec, and origins; `folders`: names of mounted folders."""
    resolution = revision.resolution
    return RevisionDetail(
        **dict(revision_view(revision)),
        effective=effective_view(resolution.spec, folders, resolution.metadata),
        origins=dict(resolution.origins),
    )


def effective_view(
    resolved: ResolvedSpec, folders: Mapping[FolderId, str], metadata: ModelMetadata | None
) -> EffectiveSpec:
    """Return the effective spec, with which replicas are started; `folders`: names of mounted folders."""
    mounts = [{**mount.model_dump(), "folder": folders.get(mount.folder_id)} for mount in resolved.mounts]
    environ = masked_environ(resolved.environ, resolved.masked)
    return stored.read(EffectiveSpec, {**dict(resolved), "mounts": mounts, "environ": environ, "metadata": metadata})
