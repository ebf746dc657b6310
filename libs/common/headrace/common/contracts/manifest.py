"""Manifest of a folder: its files with size and SHA-256, sorted, and the digest of all of them, which names the content.

Managers write it beside a snapshot's files; agents verify by it what they fetch. The id of a snapshot in a plan is that
digest: who holds the plan needs to trust nobody for the manifest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Final, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt, StringConstraints, model_validator

from headrace.common.contracts.ids import FolderId, SnapshotId
from headrace.common.contracts.wording import Refused, pattern

MAX_MANIFEST_ENTRIES: Final = 100_000
"""Bound on the files and directories of a folder that a revision can pin."""
MAX_MANIFEST_BYTES: Final = 64 * 2**20
"""Bound on an encoded manifest."""
SNAPSHOTS: Final = ".snapshots"
"""Directory of the snapshots below the root of the folders: `.snapshots/<folder id>/<snapshot id>`."""
DIGESTS: Final = "digests"
"""File beside a folder's snapshots: digests by inode, which hold on no other storage."""
FILES: Final = "files"
"""A snapshot's files, in its directory."""
MANIFEST: Final = "manifest.json"
"""A snapshot's FolderManifest as JSON, beside its files."""
MAX_PATH_BYTES: Final = 4096
MAX_NAME_BYTES: Final = 255
MAX_DEPTH: Final = 100
"""Bounds on the path of a file of a folder, its names and levels."""
_SHA256 = pattern(r"^[0-9a-f]{64}$", "64 hexadecimal digits in lower case")


def snapshot_files(folder_id: FolderId, snapshot_id: SnapshotId) -> str:
    """Return the path of a snapshot's files, relative to the root of the folders."""
    return f"{SNAPSHOTS}/{folder_id}/{snapshot_id}/{FILES}"


def _inside(path: str) -> str:
    names = path.split("/")
    if len(path.encode(errors="surrogatepass")) > MAX_PATH_BYTES or len(names) > MAX_DEPTH:
        raise Refused(path, f"a path of at most {MAX_PATH_BYTES} bytes and {MAX_DEPTH} levels")
    if any(name in {"", ".", ".."} or "\0" in name or len(name.encode()) > MAX_NAME_BYTES for name in names):
        raise Refused(path, "a relative path that stays in the folder")
    return path


ManifestPath = Annotated[str, AfterValidator(_inside)]
"""Path of a file relative to the folder, with `/`; it never leads out of it."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class ManifestFile(_Part):
    """A regular file of a folder. Links and special files are in no manifest."""

    path: ManifestPath
    size_bytes: NonNegativeInt
    executable: bool = False
    sha256: Annotated[str, StringConstraints(pattern=_SHA256)]


class FolderManifest(_Part):
    """All files of a folder at one moment. One that can be read is consistent: sorted, and its digest is `snapshot_id`."""

    snapshot_id: SnapshotId
    """Digest of the content, by `content_id()`."""
    size_bytes: NonNegativeInt
    """Sum of the files' sizes."""
    files: Annotated[tuple[ManifestFile, ...], Field(max_length=MAX_MANIFEST_ENTRIES)] = ()
    """Sorted by path (by code point)."""
    empty_directories: Annotated[tuple[ManifestPath, ...], Field(max_length=MAX_MANIFEST_ENTRIES)] = ()
    """Sorted. All other directories are those of the files' paths."""

    @classmethod
    def of(cls, files: Iterable[ManifestFile], empty_directories: Iterable[str] = ()) -> Self:
        """Return the manifest of these files, in any order."""
        ordered = tuple(sorted(files, key=lambda file: file.path))
        empty = tuple(sorted(empty_directories))
        facts = ((file.path, file.size_bytes, file.executable, file.sha256) for file in ordered)
        size = sum(file.size_bytes for file in ordered)
        return cls(snapshot_id=content_id(facts, empty), size_bytes=size, files=ordered, empty_directories=empty)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        paths = [file.path for file in self.files]
        _check_tree(paths, self.empty_directories)
        facts = ((file.path, file.size_bytes, file.executable, file.sha256) for file in self.files)
        if (found := content_id(facts, self.empty_directories)) != self.snapshot_id:
            raise Refused(self.snapshot_id, f"{found}, the digest of the files")
        if (total := sum(file.size_bytes for file in self.files)) != self.size_bytes:
            raise Refused(self.size_bytes, f"{total}, the sum of the files' sizes", below="size_bytes")
        return self


def content_id(files: Iterable[tuple[str, int, bool, str]], empty_directories: Iterable[str]) -> SnapshotId:
    """Return the digest of a content: `files` (path, size, executable, sha256) and `empty_directories`, both sorted by path.

    The SHA-256 of records that end in NUL, which no path has: a name and a version; `<sha256> <size> <x or -> <path>` of
    each file; `directory <path>` of each empty directory. Times and owners do not count.
    """
    digest = hashlib.sha256(b"headrace folder 1\0")
    for path, size, executable, sha256 in files:
        digest.update(f"{sha256} {size} {'x' if executable else '-'} {path}\0".encode())
    for path in empty_directories:
        digest.update(f"directory {path}\0".encode())
    return digest.hexdigest()


def _check_tree(paths: list[str], empty_directories: tuple[str, ...]) -> None:
    """Raise Refused when paths are not sorted, repeated, or at once a file and a directory of another path."""
    for name, some in (("files", paths), ("empty_directories", list(empty_directories))):
        for before, path in pairwise(some):
            if before >= path:
                raise Refused(path, f"paths sorted and each once ({before} comes before it)", below=name)
    directories = {parent for path in (*paths, *empty_directories) for parent in _parents(path)}
    for path in (*paths, *empty_directories):
        if path in directories:
            raise Refused(path, "a file or an empty directory, with nothing below it")
    if both := set(paths).intersection(empty_directories):
        raise Refused(min(both), "a file or a directory, not both")


def _parents(path: str) -> Iterable[str]:
    at = path.rfind("/")
    while at > 0:
        path = path[:at]
        yield path
        at = path.rfind("/")
