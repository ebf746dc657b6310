"""Content of a snapshot as the cache needs it: its files, and the distinct objects that these link to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from headrace.agent.domain.fetch_requests import WantedObject
from headrace.common.contracts.ids import SnapshotId
from headrace.common.contracts.manifest import FolderManifest

EXECUTABLE_SUFFIX: Final = "-x"


class ManifestRefused(Exception):  # noqa: N818 - a verdict about the manifest
    """A manifest that is not used; the text says why."""


@dataclass(frozen=True, slots=True)
class TreeFile:
    """File of a snapshot's tree, and the object that it links to."""

    path: str
    object: str
    size: int


@dataclass(frozen=True, slots=True)
class SnapshotContent:
    """Files and empty directories of a snapshot, and its distinct objects by name."""

    files: tuple[TreeFile, ...]
    empty_directories: tuple[str, ...]
    objects: Mapping[str, WantedObject]
    size_bytes: int
    """Of all files."""

    @property
    def sizes(self) -> dict[str, int]:
        """Size of each object."""
        return {name: wanted.size for name, wanted in self.objects.items()}


def object_name(sha256: str, *, executable: bool) -> str:
    """Return the name of an object: links share the mode of what they link to, so an executable file is another object."""
    return f"{sha256}{EXECUTABLE_SUFFIX}" if executable else sha256


def content_of(manifest: FolderManifest, snapshot_id: SnapshotId) -> SnapshotContent:
    """Return the content that a manifest describes.

    A manifest that could be read stays in its folder and fits its own id; the id was in the plan. So none of another content
    is used, whoever sent it. Raises ManifestRefused.
    """
    if manifest.snapshot_id != snapshot_id:
        raise ManifestRefused(f"it is of snapshot {manifest.snapshot_id}, and {snapshot_id} was asked for")
    files, objects = [], dict[str, WantedObject]()
    for file in manifest.files:
        name = object_name(file.sha256, executable=file.executable)
        wanted = objects.setdefault(name, WantedObject(name, file.path, file.size_bytes, file.sha256))
        if wanted.size != file.size_bytes:
            raise ManifestRefused(f"{file.path} and {wanted.path} have the same digest, and different sizes")
        files.append(TreeFile(file.path, name, file.size_bytes))
    return SnapshotContent(tuple(files), manifest.empty_directories, objects, manifest.size_bytes)
