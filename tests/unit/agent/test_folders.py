"""Folders of the agent: mounts resolve below the root, of a snapshot where the plan names one."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from headrace.agent.folders import Folders
from headrace.agent.runtime.interface import StartRefused
from headrace.common.contracts.ids import FolderId, KernelId, ProjectId, SessionId
from headrace.common.contracts.messages.plans import NO_FOLDER, KernelSpec, Mount
from headrace.common.contracts.reasons.kernel import KernelReason

FOLDER = FolderId(UUID("01990000-0000-7000-8000-000000000001"))
SNAPSHOT = "a" * 64


def kernel_spec(*mounts: Mount) -> KernelSpec:
    return KernelSpec(
        kernel_id=KernelId(FOLDER),
        session_id=SessionId(FOLDER),
        service_id=None,
        revision_id=None,
        project_id=ProjectId(FOLDER),
        kind="inference",
        name="chat",
        image=None,
        command=("x",),
        port=1,
        model_path="/models",
        health_check=None,
        slots={},
        mounts=mounts,
    )


def test_a_mount_is_the_folder_or_the_named_snapshot(tmp_path: Path) -> None:
    snapshot = tmp_path / ".snapshots" / str(FOLDER) / SNAPSHOT / "files"
    snapshot.mkdir(parents=True)
    (tmp_path / str(FOLDER)).mkdir()
    pinned = Mount(folder_id=FOLDER, target="/models", snapshot_id=SNAPSHOT)
    spec = kernel_spec(pinned, Mount(folder_id=FOLDER, target="/home/work/data", read_only=False))
    found = [(mount.source, mount.target, mount.read_only) for mount in Folders(tmp_path).mounts(spec)]
    assert found == [(snapshot, "/models", True), (tmp_path / str(FOLDER), "/home/work/data", False)]


def test_a_snapshot_is_never_mounted_for_writing(tmp_path: Path) -> None:
    (tmp_path / ".snapshots" / str(FOLDER) / SNAPSHOT / "files").mkdir(parents=True)
    spec = kernel_spec(Mount(folder_id=FOLDER, target="/models", snapshot_id=SNAPSHOT, read_only=False))
    assert [mount.read_only for mount in Folders(tmp_path).mounts(spec)] == [True]


def test_a_missing_snapshot_is_not_replaced_by_the_folder(tmp_path: Path) -> None:
    (tmp_path / str(FOLDER)).mkdir()
    spec = kernel_spec(Mount(folder_id=FOLDER, target="/models", snapshot_id=SNAPSHOT))
    with pytest.raises(StartRefused, match=f"snapshot {SNAPSHOT[:12]} of folder {FOLDER} for /models is not on"):
        Folders(tmp_path).mounts(spec)


def on_the_machine(path: Path | str) -> KernelSpec:
    return kernel_spec(Mount(folder_id=NO_FOLDER, target="/models", read_only=False, host_path=str(path)))


def test_a_model_on_the_machine_is_mounted_read_only(tmp_path: Path) -> None:
    model = tmp_path / "models" / "tiny"
    model.mkdir(parents=True)
    (tmp_path / "models" / "latest").symlink_to(model)
    folders = Folders(None, model_roots=[tmp_path / "models"])
    for named in ("tiny", "latest"):
        (found,) = folders.mounts(on_the_machine(tmp_path / "models" / named))
        assert (found.source, found.target, found.read_only) == (model, "/models", True)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("models/none", KernelReason.FOLDER_MISSING),
        ("models/file", KernelReason.FOLDER_MISSING),
        ("models/loop", KernelReason.FOLDER_MISSING),
        ("models/out", KernelReason.MOUNT_REFUSED),
        ("models/../secret", KernelReason.MOUNT_REFUSED),
        ("models-other", KernelReason.MOUNT_REFUSED),
        ("secret", KernelReason.MOUNT_REFUSED),
    ],
)
def test_other_paths_of_the_machine_are_refused(tmp_path: Path, path: str, code: KernelReason) -> None:
    for name in ("models", "secret", "models-other"):
        (tmp_path / name).mkdir()
    (tmp_path / "models/file").write_bytes(b"x")
    (tmp_path / "models/loop").symlink_to("loop")
    (tmp_path / "models/out").symlink_to(tmp_path / "secret")
    with pytest.raises(StartRefused) as refused:
        Folders(None, model_roots=[tmp_path / "models"]).mounts(on_the_machine(f"{tmp_path}/{path}"))
    assert refused.value.reason.code == code


def test_a_machine_without_model_roots_has_no_models(tmp_path: Path) -> None:
    with pytest.raises(StartRefused, match="not below nothing"):
        Folders(None).mounts(on_the_machine(tmp_path))
