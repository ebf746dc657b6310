"""Manifests of folders: what can be read is consistent, stays in the folder, and its id names the content."""

from __future__ import annotations

import hashlib
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from headrace.common.contracts.ids import FolderId
from headrace.common.contracts.manifest import FolderManifest, ManifestFile
from headrace.common.contracts.messages.plans import Mount

FOLDER = FolderId(UUID("01990000-0000-7000-8000-000000000001"))


def file(path: str, content: bytes = b"x", *, executable: bool = False) -> ManifestFile:
    digest = hashlib.sha256(content).hexdigest()
    return ManifestFile(path=path, size_bytes=len(content), executable=executable, sha256=digest)


def document(**changes: Any) -> dict[str, Any]:
    return FolderManifest.of([file("a"), file("b/c")], ["d"]).model_dump(mode="json") | changes


def test_the_id_is_pinned_so_that_versions_agree() -> None:
    made = FolderManifest.of([file("weights/a.bin", b"1"), file("run.sh", b"2", executable=True)], ["empty"])
    assert (
        made.snapshot_id
        == hashlib.sha256(
            b"headrace folder 1\0"
            + f"{hashlib.sha256(b'2').hexdigest()} 1 x run.sh\0".encode()
            + f"{hashlib.sha256(b'1').hexdigest()} 1 - weights/a.bin\0".encode()
            + b"directory empty\0"
        ).hexdigest()
    )


@given(st.permutations([file("a"), file("a.b"), file("b/c"), file("é")]))
def test_the_order_of_the_files_does_not_matter(files: list[ManifestFile]) -> None:
    made = FolderManifest.of(files)
    assert made == FolderManifest.of(reversed(files))
    assert FolderManifest.model_validate_json(made.model_dump_json()) == made


@pytest.mark.parametrize(
    "other",
    [
        [file("a", b"y"), file("b/c")],
        [file("a", executable=True), file("b/c")],
        [file("a2"), file("b/c")],
        [file("a"), file("b/c"), file("b/d")],
    ],
)
def test_another_content_has_another_id(other: list[ManifestFile]) -> None:
    assert FolderManifest.of(other, ["d"]).snapshot_id != document()["snapshot_id"]


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", "a//b", "", ".", "a/.", "a\0b", "a/", "x" * 300, "a/" * 2100 + "b"]
)
def test_a_path_that_leads_out_of_the_folder_is_refused(path: str) -> None:
    with pytest.raises(ValidationError, match=r"allowed: a (relative )?path"):
        FolderManifest.of([ManifestFile(path=path, size_bytes=0, sha256="0" * 64)])


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"snapshot_id": "0" * 64}, "the digest of the files"),
        ({"size_bytes": 1}, "the sum of the files"),
        ({"files": list(reversed(document()["files"]))}, "sorted"),
        ({"files": [document()["files"][0]] * 2}, "each once"),
        ({"empty_directories": ["a"]}, "not both"),
        ({"empty_directories": ["b"]}, "nothing below it"),
    ],
)
def test_an_inconsistent_manifest_is_refused(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        FolderManifest.model_validate(document(**changes))


def test_a_mount_of_an_older_manager_is_the_folder_itself() -> None:
    assert Mount.model_validate({"folder_id": str(FOLDER), "target": "/models"}).source == str(FOLDER)


def test_a_mount_of_a_snapshot_is_below_the_snapshots_of_its_folder() -> None:
    mount = Mount(folder_id=FOLDER, target="/models", snapshot_id="a" * 64)
    assert mount.source == f".snapshots/{FOLDER}/{'a' * 64}/files"


def test_a_snapshot_is_named_by_a_digest_alone() -> None:
    with pytest.raises(ValidationError):
        Mount(folder_id=FOLDER, target="/models", snapshot_id="../../etc")
