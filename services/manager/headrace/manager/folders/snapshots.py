"""Snapshots of model folders: the files of a revision, as hard links at `<root>/.snapshots/<folder id>/<snapshot id>`.

They cost no bytes: an upload puts another file in the place of one, so that the old one lives on in the snapshot. A
snapshot is made under a temporary name, synced and renamed: one that is there is whole. All functions block: call them
in a thread.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from headrace.common.contracts.ids import FolderId, SnapshotId, new_uuid
from headrace.common.contracts.manifest import (
    FILES,
    MANIFEST,
    MAX_MANIFEST_BYTES,
    SNAPSHOTS,
    FolderManifest,
    ManifestFile,
    content_id,
)
from headrace.common.contracts.problems import Conflict, NotFound, Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.common.runtime.files import sync_folder, write_atomically
from headrace.common.runtime.removal import remove_tree
from headrace.manager.domain.storage_usage import StorageUsage
from headrace.manager.folders.errors import DiskReserve, problems
from headrace.manager.folders.file_identity import FileIdentity
from headrace.manager.folders.group_commit import GroupCommit
from headrace.manager.folders.known_digests import KnownDigests
from headrace.manager.folders.scanning import Scan, ScannedFile, scan
from headrace.manager.folders.tree import OpenFile, Tree, freed_by

UNUSED_FOR_S: Final = 3600.0
"""A snapshot that nobody asked for in this time, and that no revision needs, is removed: the revision of a request in progress
is not in the database yet."""
_TOUCHED_EVERY_S: Final = 600.0
_UNFINISHED: Final = ".new-"
_LEAVING: Final = ".removed-"
_NO_LINKS: Final = {errno.EXDEV, errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.ENOSYS}
_BLOCK: Final = 1024 * 1024


@dataclass(frozen=True)
class Unhashed:
    """A folder has files whose digests are not known yet. `scan`: all of its content."""

    files: Sequence[ScannedFile]
    scan: Scan
    overwritten: Sequence[ScannedFile] = ()
    """Those of the files that were written in place, although snapshots have them."""

    @property
    def bytes(self) -> int:
        """Sum of their sizes."""
        return sum(file.identity.size for file in self.files)


@dataclass(frozen=True)
class Content:
    """Content of a folder as it is now, all digests known."""

    snapshot_id: SnapshotId
    scan: Scan
    digests: Mapping[FileIdentity, str]

    def manifest(self) -> bytes:
        """Return the encoded FolderManifest. Raises Conflict for one that is too large."""
        files = tuple(
            ManifestFile.model_construct(
                path=file.path,
                size_bytes=file.identity.size,
                executable=file.executable,
                sha256=self.digests[file.identity],
            )
            for file in self.scan.files
        )
        size = sum(file.identity.size for file in self.scan.files)
        empty = tuple(self.scan.empty_directories)
        made = FolderManifest.model_construct(
            snapshot_id=self.snapshot_id, size_bytes=size, files=files, empty_directories=empty
        )
        encoded = made.model_dump_json().encode()
        if len(encoded) > MAX_MANIFEST_BYTES:
            text = f"the folder's paths are too long together: its manifest has {len(encoded)} bytes"
            raise Conflict(f"{text}; allowed: {MAX_MANIFEST_BYTES}", field="folder", allowed=MAX_MANIFEST_BYTES)
        return encoded


class Snapshots:
    """Snapshots below one root."""

    def __init__(self, room: DiskReserve, flushing: GroupCommit) -> None:
        self._room = room
        self._root = room.root / SNAPSHOTS
        self._flushing = flushing
        self.known = KnownDigests(room.root)

    def content(self, folder_id: FolderId) -> Content | Unhashed:
        """Return the folder's content as it is now. Raises NotFound, Conflict, Unavailable."""
        with problems("the folder"):
            found = scan(Tree(self._room.root, folder_id))
            known = self.known.of(folder_id)
        missing = [file for file in found.files if file.identity not in known]
        if missing:
            inodes = {identity.inode for identity in known}
            overwritten = [file for file in missing if file.names > 1 and file.identity.inode in inodes]
            return Unhashed(missing, found, overwritten)
        self.known.keep(folder_id, (file.identity for file in found.files))
        facts = ((file.path, file.identity.size, file.executable, known[file.identity]) for file in found.files)
        return Content(content_id(facts, found.empty_directories), found, known)

    def is_there(self, folder_id: FolderId, snapshot_id: SnapshotId) -> bool:
        """Return whether the snapshot exists, and keep it from being removed as unused for the next hour."""
        path = self._path(folder_id, snapshot_id)
        with problems("the snapshot"), suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _TOUCHED_EVERY_S:
                os.utime(path)
            return True
        return False

    def make(self, folder_id: FolderId, content: Content) -> None:
        """Make the snapshot of this content, if it is not there. Raises Unavailable when the folder has changed meanwhile."""
        if self.is_there(folder_id, content.snapshot_id):
            return
        above = self._root / str(folder_id)
        new = above / f"{_UNFINISHED}{new_uuid()}"
        try:
            with problems("the snapshot", storage=self._room.root):
                new.mkdir(mode=0o755, parents=True)
                write_atomically(new / MANIFEST, content.manifest())
                (new / FILES).mkdir(mode=0o755)
                self._fill(new / FILES, Tree(self._room.root, folder_id), content)
                sync_folder(new)
                self._put(new, self._path(folder_id, content.snapshot_id))
                sync_folder(above)
        finally:
            with suppress(OSError):
                remove_tree(new)

    def open_manifest(self, folder_id: FolderId, snapshot_id: SnapshotId) -> OpenFile:
        """Open a snapshot's manifest for reading. Raises NotFound."""
        return Tree(self._root / str(folder_id), snapshot_id).open_file((MANIFEST,))

    def unused(self, folder_id: FolderId, *, unused_for_s: float = UNUSED_FOR_S) -> list[SnapshotId]:
        """Return the folder's snapshots that nobody asked for in this time; remove what killed managers left behind."""
        found, before = list[SnapshotId](), time.time() - unused_for_s
        with problems("the snapshots"), suppress(FileNotFoundError):
            for name, modified in self._entries(str(folder_id)):
                if modified >= before:
                    continue
                if name.startswith((_UNFINISHED, _LEAVING)):
                    remove_tree(self._root / str(folder_id) / name)
                else:
                    found.append(name)
        return found

    def remove(
        self, folder_id: FolderId, snapshot_id: SnapshotId, *, unused_for_s: float = UNUSED_FOR_S
    ) -> StorageUsage:
        """Remove a snapshot, unless somebody asked for it meanwhile; return what that freed: files that nothing else has."""
        path, freed = self._path(folder_id, snapshot_id), StorageUsage()
        away = path.with_name(f"{_LEAVING}{new_uuid()}")

        def removed(facts: os.stat_result) -> None:
            nonlocal freed
            if stat.S_ISREG(facts.st_mode):  # a snapshot's directories do not count
                freed += freed_by(facts)

        with problems("the snapshot"), suppress(FileNotFoundError):
            path.rename(away)  # nobody finds it from here on
            if time.time() - away.stat().st_mtime < unused_for_s:
                self._put(away, path)
            else:
                remove_tree(away / FILES, removed=removed)
                remove_tree(away)
        return freed

    def trees(self, folder_id: FolderId) -> list[Tree]:
        """Return the files of each snapshot of the folder."""
        above = self._root / str(folder_id)
        with problems("the snapshots"), suppress(FileNotFoundError):
            return [Tree(above / name, FILES) for name, _ in self._entries(str(folder_id)) if not name.startswith(".")]
        return []

    def folders(self, *, after: str, limit: int) -> list[str]:
        """Return the first `limit` ids after `after` of folders that have snapshots or known digests, sorted."""
        with problems("the snapshots"), suppress(FileNotFoundError):
            return sorted(path.name for path in self._root.iterdir() if path.name > after)[:limit]
        return []

    def has_any(self, folder_id: FolderId) -> bool:
        """Return whether something is left of the folder's snapshots and known digests."""
        return (self._root / str(folder_id)).is_dir()

    def remove_all(self, folder_id: FolderId) -> None:
        """Remove all snapshots and known digests of a deleted folder; nothing happens if there are none."""
        self.known.forget(folder_id)
        with problems("the snapshots"):
            remove_tree(self._root / str(folder_id))

    def _path(self, folder_id: FolderId, snapshot_id: SnapshotId) -> Path:
        return self._root / str(folder_id) / snapshot_id

    def _entries(self, folder: str) -> Iterator[tuple[str, float]]:
        with os.scandir(self._root / folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.is_dir(follow_symlinks=False):
                        yield entry.name, entry.stat(follow_symlinks=False).st_mtime

    def _fill(self, into: Path, tree: Tree, content: Content) -> None:
        """Link the files into their places, then sync all directories."""
        directories = {into}
        for path in content.scan.empty_directories:
            directories |= _make(into, path)
        places = dict[tuple[str, str], list[ScannedFile]]()
        for file in content.scan.files:
            source, target = file.source.rpartition("/")[0], file.path.rpartition("/")[0]
            places.setdefault((source, target), []).append(file)
        for (source, target), files in places.items():
            directories |= _make(into, target)
            below = os.open(into / target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                with tree.directory(tuple(source.split("/")) if source else ()) as above:
                    for file in files:
                        self._link(above, below, file, content.digests[file.identity])
            except (NotFound, Conflict):
                raise _changed(files[0]) from None
            finally:
                os.close(below)
        self._flushing.all([partial(sync_folder, directory) for directory in directories])

    def _link(self, above: int, below: int, file: ScannedFile, sha256: str) -> None:
        source, target = file.source.rpartition("/")[2], file.path.rpartition("/")[2]
        try:
            os.link(source, target, src_dir_fd=above, dst_dir_fd=below, follow_symlinks=False)
        except FileNotFoundError:
            raise _changed(file) from None
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            self._copy(above, below, file, sha256)
            return
        if FileIdentity.of(os.stat(target, dir_fd=below, follow_symlinks=False)) != file.identity:
            raise _changed(file)

    def _copy(self, above: int, below: int, file: ScannedFile, sha256: str) -> None:
        """Copy a file that cannot be linked: another file system, too many links, or another owner's file."""
        self._room.check(file.path, file.identity.size)
        source, target = file.source.rpartition("/")[2], file.path.rpartition("/")[2]
        reading = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=above)
        digest, mode = hashlib.sha256(), 0o755 if file.executable else 0o644
        with os.fdopen(reading, "rb", buffering=0) as content:
            writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=below)
            with os.fdopen(writing, "wb") as copy:
                while block := content.read(_BLOCK):
                    digest.update(block)
                    copy.write(block)
                copy.flush()
                os.utime(writing, ns=(file.identity.modified_ns, file.identity.modified_ns))
                os.fsync(writing)
        if digest.hexdigest() != sha256:
            raise _changed(file)

    @staticmethod
    def _put(source: Path, target: Path) -> None:
        """Rename to the final name. If another manager was faster, its snapshot has the same content: it stays."""
        try:
            source.rename(target)
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise


def _make(into: Path, path: str) -> set[Path]:
    """Create the directory at `path` below `into` with those on its way; return them all."""
    made, at = set[Path](), into
    for name in path.split("/") if path else ():
        at /= name
        made.add(at)
    (into / path).mkdir(mode=0o755, parents=True, exist_ok=True)
    return made


def _changed(file: ScannedFile) -> Unavailable:
    return Unavailable(
        f"{file.path} was changed while the folder was read; try again", reason=ApiReason.FOLDER_CHANGING
    )
