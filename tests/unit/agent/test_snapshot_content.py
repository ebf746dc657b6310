"""What a manifest means for the cache, and which snapshots are in use."""

from __future__ import annotations

import hashlib

import pytest

from headrace.agent.domain.kernels import KernelRecord, SeenKernel, snapshots_in_use
from headrace.agent.domain.snapshot_content import ManifestRefused, TreeFile, content_of
from headrace.common.contracts.ids import FolderId, KernelId, SessionId, new_uuid
from headrace.common.contracts.manifest import FolderManifest, ManifestFile
from headrace.common.contracts.messages.plans import KernelSpec, Mount
from headrace.common.runtime.clock import utc_now
from tests.support.snapshots import manifest_of

ONE = hashlib.sha256(b"1").hexdigest()


def test_files_with_the_same_content_are_one_object_unless_one_is_executable() -> None:
    manifest = manifest_of({"a": b"1", "b/c": b"1", "run": b"1"}, executable=["run"])
    content = content_of(manifest, manifest.snapshot_id)
    assert content.files == (TreeFile("a", ONE, 1), TreeFile("b/c", ONE, 1), TreeFile("run", f"{ONE}-x", 1))
    assert content.sizes == {ONE: 1, f"{ONE}-x": 1}
    assert (content.size_bytes, content.objects[ONE].path) == (3, "a")


def test_another_manifest_than_the_plan_names_is_refused() -> None:
    with pytest.raises(ManifestRefused, match="was asked for"):
        content_of(manifest_of({"a": b"1"}), manifest_of({"a": b"2"}).snapshot_id)


def test_one_digest_with_two_sizes_is_refused() -> None:
    manifest = FolderManifest.of(
        ManifestFile(path=path, size_bytes=size, sha256=ONE) for path, size in (("a", 1), ("b", 2))
    )
    with pytest.raises(ManifestRefused, match="b and a have the same digest, and different sizes"):
        content_of(manifest, manifest.snapshot_id)


def _spec(*snapshots: str | None) -> KernelSpec:
    mounts = tuple(
        Mount(folder_id=FolderId(new_uuid()), target=f"/m{number}", snapshot_id=one)
        for number, one in enumerate(snapshots)
    )
    return KernelSpec(
        kernel_id=KernelId(new_uuid()),
        session_id=SessionId(new_uuid()),
        service_id=None,
        revision_id=None,
        project_id=new_uuid(),
        kind="inference",
        name="chat",
        image=None,
        command=("true",),
        port=8000,
        model_path="/m0",
        health_check=None,
        slots={},
        mounts=mounts,
    )


def test_what_is_planned_or_was_started_is_in_use() -> None:
    planned, started = _spec("a" * 64, None), _spec("b" * 64)
    records = {started.kernel_id: KernelRecord(spec=started)}
    assert snapshots_in_use({planned.kernel_id: planned}, records, {}) == {"a" * 64, "b" * 64}


def test_it_is_not_known_before_a_plan_nor_while_a_kernel_runs_that_nobody_knows() -> None:
    assert snapshots_in_use(None, {}, {}) is None
    stranger = SeenKernel(KernelId(new_uuid()), SessionId(new_uuid()), None, "running", utc_now())
    assert snapshots_in_use({}, {}, {stranger.kernel_id: stranger}) is None
