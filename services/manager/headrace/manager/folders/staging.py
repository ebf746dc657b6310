"""Staging area of an import: its files below `<root>/.imports/<import id>`, until all are there.

A whole file is called `<number>-<SHA-256>`, an incomplete one `<number>.part`: so another manager, or a later attempt,
continues where this one ended. All functions block: call them in a thread.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from headrace.common.contracts.ids import FolderId, ImportId, SnapshotId
from headrace.common.contracts.problems import Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.common.runtime.files import sync_folder
from headrace.common.runtime.removal import remove_tree
from headrace.manager.domain.model_source import Listing, SourceError, SourceFile
from headrace.manager.domain.storage_usage import StorageChange
from headrace.manager.folders.errors import DiskReserve, problems
from headrace.manager.folders.file_identity import FileIdentity
from headrace.manager.folders.scanning import scan
from headrace.manager.folders.snapshots import Content, Snapshots
from headrace.manager.folders.tree import Tree

IMPORTS: Final = ".imports"
"""Directory of the staging areas below the root of the folders."""
_WHOLE: Final = re.compile(r"([0-9]{1,6})-([0-9a-f]{64})", re.ASCII)
_BLOCK: Final = 1024 * 1024


class StagedFile:
    """Incomplete file, open for writing. What is there of it already was read for its digests."""

    def __init__(self, path: Path, file: SourceFile, room: DiskReserve) -> None:
        self._path = path
        self._file = file
        self._room = room
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        self.restart(keep=True)

    def restart(self, *, keep: bool = False) -> None:
        """Begin anew; with `keep` with what is there."""
        self._sha256, self._sha1 = hashlib.sha256(), hashlib.sha1(usedforsecurity=False)
        self._sha1.update(b"blob %d\0" % self._file.size_bytes)
        self.size_bytes = 0
        if not keep:
            os.ftruncate(self._fd, 0)
        while block := os.pread(self._fd, _BLOCK, self.size_bytes):
            self._take(block)
        if self.size_bytes > self._file.size_bytes:
            self.restart()

    def _take(self, block: bytes) -> None:
        self._sha256.update(block)
        if self._file.git_sha1:
            self._sha1.update(block)
        self.size_bytes += len(block)

    def write(self, block: bytes) -> None:
        """Append. Raises SourceError for more than the file's size, InsufficientStorage."""
        if self.size_bytes + len(block) > self._file.size_bytes:
            self.restart()
            raise SourceError(f"{self._file.path} is larger than the source said", lasting=False)
        with problems(self._file.path, storage=self._room.root, needed_bytes=len(block)):
            view, at = memoryview(block), self.size_bytes
            while view:
                written = os.pwrite(self._fd, view, at)
                view, at = view[written:], at + written
        self._take(block)

    def finish(self) -> None:
        """Verify, sync and rename. Raises SourceError for other content than the source listed; it is fetched anew then."""
        if self.size_bytes < self._file.size_bytes:
            text = f"{self._file.path} ended after {self.size_bytes} of {self._file.size_bytes} bytes"
            raise SourceError(text, lasting=False)
        sha256 = self._sha256.hexdigest()
        for name, found, wanted in (
            ("SHA-256", sha256, self._file.sha256),
            ("git digest", self._sha1.hexdigest(), self._file.git_sha1),
        ):
            if wanted and found != wanted:
                self.restart()
                raise SourceError(f"{self._file.path} came with {name} {found}, not {wanted}", lasting=False)
        with problems(self._file.path, storage=self._room.root):
            os.fsync(self._fd)
            self._path.rename(self._path.with_name(f"{self._path.stem}-{sha256}"))

    def close(self) -> None:
        """Close it; what is there stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Prepared(NamedTuple):
    """What an import lacks."""

    missing: tuple[int, ...]
    """Numbers of the files that are not whole."""
    missing_bytes: int
    new_bytes: int
    """Bytes that the folder will have beside those of other versions."""


class Staging:
    """Staging area of one import."""

    def __init__(self, room: DiskReserve, snapshots: Snapshots, import_id: ImportId, folder_id: FolderId) -> None:
        self._room = room
        self._snapshots = snapshots
        self._folder_id = folder_id
        self._tree = Tree(room.root, folder_id)
        self._path = room.root / IMPORTS / str(import_id)

    @property
    def change(self) -> StorageChange:
        """What publish() changed in the folder."""
        return self._tree.change

    def prepare(self, listing: Listing) -> Prepared:
        """Make it, if it is not there; return what it lacks. Files that the folder has of another version are linked."""
        with problems("the import", storage=self._room.root):
            self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._tree.create()
            more = new_bytes(self._snapshots, self._tree, self._folder_id, listing)
            whole = set(self._whole())
            self._link_known(listing, whole)
            missing = tuple(number for number in range(len(listing.files)) if number not in whole)
            missing_bytes = sum(
                max(0, listing.files[number].size_bytes - _size(self._part(number))) for number in missing
            )
            self._room.check("the model", missing_bytes)
        return Prepared(missing, missing_bytes, more)

    def open(self, listing: Listing, number: int) -> StagedFile:
        """Open an incomplete file. Raises OSError as a Problem."""
        with problems(listing.files[number].path, storage=self._room.root):
            return StagedFile(self._part(number), listing.files[number], self._room)

    def publish(self, listing: Listing) -> SnapshotId:
        """Make the folder's content that of the listing, and a snapshot of it. May be repeated. Raises Problems."""
        whole = self._whole()
        wanted = {file.path for file in listing.files}
        self._remove_others(wanted)
        known = []
        for number, file in enumerate(listing.files):
            staged, out = self._path / f"{number}-{whole[number]}", self._path / f"{number}.out"
            with problems(file.path, storage=self._room.root):
                out.unlink(missing_ok=True)
                if _is_same(
                    staged, self._tree.path / file.path
                ):  # linked from there, or published by an earlier attempt
                    known.append((FileIdentity.of(staged.stat()), whole[number]))
                    continue
                os.link(staged, out)
            known.append((self._tree.put(out, file.path.split("/")), whole[number]))
        self._snapshots.known.add(self._folder_id, known)
        content = self._snapshots.content(self._folder_id)
        imported = {file.path: whole[number] for number, file in enumerate(listing.files)}
        if not isinstance(content, Content) or imported != _digests(content):
            text = "somebody writes to the folder of the imported model"
            raise Unavailable(text, reason=ApiReason.FOLDER_CHANGING)
        self._snapshots.make(self._folder_id, content)
        return content.snapshot_id

    def remove(self) -> None:
        """Remove it; nothing happens if it is gone."""
        with problems("the import"):
            remove_tree(self._path)

    def _part(self, number: int) -> Path:
        return self._path / f"{number}.part"

    def _whole(self) -> dict[int, str]:
        matches = (_WHOLE.fullmatch(path.name) for path in self._path.iterdir())
        return {int(match[1]): match[2] for match in matches if match}

    def _link_known(self, listing: Listing, whole: set[int]) -> None:
        """Link files that the folder has of another version, by their SHA-256."""
        there = _held(self._snapshots, self._tree, self._folder_id)
        for number, file in enumerate(listing.files):
            if number not in whole and file.sha256 in there:
                with suppress(OSError):  # without links it is fetched
                    os.link(
                        self._tree.path / there[file.sha256],
                        self._path / f"{number}-{file.sha256}",
                        follow_symlinks=False,
                    )
                    whole.add(number)
        sync_folder(self._path)

    def _remove_others(self, wanted: Iterable[str]) -> None:
        """Remove the folder's files that are not wanted, and directories without files."""
        kept = set(wanted)
        found = scan(self._tree)
        for file in found.files:
            if file.path not in kept:
                self._tree.delete(file.path.split("/"))
        while empty := scan(self._tree).empty_directories:
            for path in empty:
                self._tree.delete(path.split("/"))


def new_bytes(snapshots: Snapshots, tree: Tree, folder_id: FolderId, listing: Listing) -> int:
    """Return the bytes of those files that the folder does not have yet, as far as the source tells their SHA-256. Blocks."""
    there = _held(snapshots, tree, folder_id) if tree.exists() else {}
    return sum(file.size_bytes for file in listing.files if file.sha256 not in there)


def _held(snapshots: Snapshots, tree: Tree, folder_id: FolderId) -> dict[str, str]:
    """Return a path of each content that the folder has, by SHA-256."""
    digests = snapshots.known.of(folder_id)
    return {digests[file.identity]: file.source for file in scan(tree).files if file.identity in digests}


def _digests(content: Content) -> dict[str, str]:
    return {file.path: content.digests[file.identity] for file in content.scan.files}


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samestat(one.stat(follow_symlinks=False), other.stat(follow_symlinks=False))
    except (FileNotFoundError, NotADirectoryError):
        return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
