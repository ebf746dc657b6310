"""Trees of the folder cache on disk: a read-only directory per snapshot, whose files are links to objects. All functions block.

A tree appears under its name only when all of it, and its objects, are on the disk. `<root>/manifests` says what each has, and
by its times when it was last used.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import structlog

from headrace.agent.domain.cache_room import CachedSnapshot
from headrace.agent.domain.snapshot_content import ManifestRefused, SnapshotContent, content_of
from headrace.agent.folder_cache.objects import Objects, unchanged
from headrace.common.contracts.manifest import FolderManifest
from headrace.common.runtime.files import sync_folder, write_atomically
from headrace.common.runtime.removal import remove_tree

log = structlog.get_logger()
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_NEW: Final = ".new"
_READ_ONLY: Final = 0o555
_WRITABLE: Final = 0o755


class Trees:
    """Trees and manifests below `root`."""

    def __init__(self, root: Path, objects: Objects) -> None:
        self._root = root
        self._objects = objects
        self._trees = root / "trees"
        self._manifests = root / "manifests"

    def path(self, snapshot_id: str) -> Path:
        """Return where the snapshot's tree is, or would be."""
        return self._trees / snapshot_id

    def is_complete(self, snapshot_id: str) -> bool:
        """Return whether the whole tree was made."""
        return self.path(snapshot_id).is_dir()

    def load(self) -> dict[str, CachedSnapshot]:
        """Return what lies here, and remove what a killed process left. A manifest that cannot be read goes, with its tree."""
        for folder in (self._trees, self._manifests):
            folder.mkdir(mode=_WRITABLE, parents=True, exist_ok=True)
        found = dict(self._read_manifests())
        for entry in list(os.scandir(self._trees)):
            if entry.name not in found:
                self._remove(Path(entry.path))
        return found

    def _read_manifests(self) -> Iterator[tuple[str, CachedSnapshot]]:
        for path in sorted(self._manifests.iterdir()):
            try:
                used_at, content = path.stat().st_mtime, content_of(_read(path), path.stem)
            except (ValueError, ManifestRefused) as error:
                log.warning("cached_manifest_dropped", file=path.name, why=str(error)[:200])
                path.unlink(missing_ok=True)
            else:
                yield path.stem, CachedSnapshot(used_at, content.sizes)

    def content(self, snapshot_id: str) -> SnapshotContent | None:
        """Return what the snapshot has; None when its manifest is not here."""
        try:
            return content_of(_read(self._manifest(snapshot_id)), snapshot_id)
        except FileNotFoundError:
            return None

    def keep_manifest(self, snapshot_id: str, manifest: FolderManifest) -> None:
        """Write the manifest down. Raises OSError."""
        write_atomically(self._manifest(snapshot_id), manifest.model_dump_json())

    def touch(self, snapshot_id: str, now: float) -> None:
        """Note that the snapshot is used now, in seconds since 1970."""
        with suppress(OSError):  # that only makes it leave earlier
            os.utime(self._manifest(snapshot_id), (now, now))

    def make(self, snapshot_id: str, content: SnapshotContent) -> None:
        """Make the tree; all of its objects are there. Raises OSError."""
        path, new = self.path(snapshot_id), self._trees / f".{snapshot_id}{_NEW}"
        self._remove(new)
        new.mkdir(mode=_WRITABLE)
        made = {""}
        for file in content.files:
            _make_parents(new, file.path, made)
            self._link(file.object, new / file.path)
        for directory in content.empty_directories:
            _make_parents(new, f"{directory}/", made)
        for directory in made:
            (new / directory).chmod(_READ_ONLY)
        _sync_file_system(new)
        new.rename(path)
        sync_folder(self._trees)

    def damaged(self, snapshot_id: str, content: SnapshotContent) -> list[str]:
        """Return the objects whose links in the tree are missing or were written to."""
        root = os.fspath(self.path(snapshot_id))
        return [file.object for file in content.files if not unchanged(f"{root}/{file.path}", file.object, file.size)]

    def mend(self, snapshot_id: str, content: SnapshotContent) -> None:
        """Replace the damaged files of a tree, each atomically: kernels that use it find the right ones. Raises OSError."""
        root = self.path(snapshot_id)
        for file in content.files:
            path = root / file.path
            if unchanged(path, file.object, file.size):
                continue
            _make_writable(path.parent, root)
            path.parent.mkdir(mode=_WRITABLE, parents=True, exist_ok=True)
            new = path.with_name(f".{os.getpid()}{_NEW}")
            new.unlink(missing_ok=True)
            self._link(file.object, new)
            new.replace(path)
        for directory, _, _ in os.walk(root):
            Path(directory).chmod(_READ_ONLY)

    def remove(self, snapshot_id: str) -> None:
        """Remove the tree and its manifest."""
        gone = self._trees / f".{snapshot_id}{_NEW}"
        with suppress(FileNotFoundError):
            self.path(snapshot_id).rename(gone)  # so that no part of it is ever taken for a whole tree
        self._remove(gone)
        self._manifest(snapshot_id).unlink(missing_ok=True)

    def _manifest(self, snapshot_id: str) -> Path:
        return self._manifests / f"{snapshot_id}.json"

    def _link(self, name: str, path: Path) -> None:
        source = self._objects.path(name)
        try:
            os.link(source, path)
        except OSError as error:
            if error.errno != errno.EMLINK:
                raise
            shutil.copy2(source, path)  # more links than the file system allows, as of an empty file

    def _remove(self, path: Path) -> None:
        if path.is_dir() and not path.is_symlink():
            for directory, _, _ in os.walk(path):
                Path(directory).chmod(_WRITABLE)
            remove_tree(path)
        else:
            path.unlink(missing_ok=True)


def _read(path: Path) -> FolderManifest:
    return FolderManifest.model_validate_json(path.read_bytes())


def _make_parents(root: Path, path: str, made: set[str]) -> None:
    """Create the directories of a file, those that are missing in `made`."""
    above = path.rpartition("/")[0]
    if above not in made:
        _make_parents(root, above, made)
        (root / above).mkdir(mode=_WRITABLE)
        made.add(above)


def _make_writable(folder: Path, root: Path) -> None:
    """Let the agent write in the directories from `root` to `folder`, as far as they are there."""
    while True:
        with suppress(FileNotFoundError):
            folder.chmod(_WRITABLE)
        if folder == root:
            return
        folder = folder.parent


def _sync_file_system(folder: Path) -> None:
    """Write all that was written to the file system of `folder` to its disk: one wait instead of one for each file."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if _LIBC.syncfs(fd) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(fd)
