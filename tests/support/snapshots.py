"""Snapshots of folders on a storage, as managers make them."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from pathlib import Path

from headrace.common.contracts.ids import FolderId, SnapshotId
from headrace.common.contracts.manifest import MANIFEST, FolderManifest, ManifestFile, snapshot_files


def manifest_of(files: Mapping[str, bytes], *, executable: Collection[str] = ()) -> FolderManifest:
    """Return the manifest of a folder with these files."""
    return FolderManifest.of(
        ManifestFile(
            path=path,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            executable=path in executable,
        )
        for path, content in files.items()
    )


def put_snapshot(
    root: Path, folder_id: FolderId, files: Mapping[str, bytes], *, executable: Collection[str] = ()
) -> SnapshotId:
    """Make a snapshot with these files below the root of the folders, and return its id."""
    manifest = manifest_of(files, executable=executable)
    folder = root / snapshot_files(folder_id, manifest.snapshot_id)
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        file.chmod(0o755 if path in executable else 0o644)
    (folder.parent / MANIFEST).write_text(manifest.model_dump_json())
    return manifest.snapshot_id


def content_of_tree(tree: Path) -> dict[str, bytes]:
    """Return the files below a directory, by their paths."""
    return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
