"""Tree download: small files many per request, large ones one by one, each whole or not at all."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final

from headrace.common.contracts.http.folders import FileView, FolderView
from headrace.sdk.archives import SMALL_BYTES, DownloadItem, batches
from headrace.sdk.downloads import rounded_ns, write_failure
from headrace.sdk.errors import ApiError, TreeError
from headrace.sdk.trees.files import FolderFiles
from headrace.sdk.trees.jobs import Job, Progress, TransferState, run
from headrace.sdk.trees.results import LeftOut, TreeFile, TreeProgress, TreeResult, check_count, microseconds

_KINDS: Final = {"link": "a link", "special": "a special file"}
_THIS_FILE: Final = {404, 409}
"""It was deleted or replaced since it was listed."""


@dataclass
class DownloadPlan:
    """Files and directories to download, with their local paths. `directories`: empty ones."""

    files: list[TreeFile] = field(default_factory=list)
    directories: list[TreeFile] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def local_paths(views: Iterable[FileView], below: str, to: Path) -> DownloadPlan:
    """Return the local paths of all entries below the directory `to`; `below` is the requested path.

    Raises TreeError for a path outside of `to`, and beyond MAX_ENTRIES.
    """
    start = PurePosixPath(below.strip("/")).parent if below.strip("/") else PurePosixPath()
    listed, directories, parents = DownloadPlan(), list[FileView](), set[str]()
    for view in views:
        if (why := _KINDS.get(view.kind)) is not None:
            listed.left_out.append(LeftOut(view.path, why, lasting=True))
        else:
            parents.add(view.path.rpartition("/")[0])
            if view.kind == "directory":
                directories.append(view)
            else:
                listed.files.append(_place(view, start, to))
        check_count(len(listed.files) + len(directories) + len(listed.left_out), below or "the folder")
    listed.directories = [_place(view, start, to) for view in directories if view.path not in parents]
    return listed


def _place(view: FileView, start: PurePosixPath, to: Path) -> TreeFile:
    path = PurePosixPath(view.path)
    relative = path.relative_to(start) if path.is_relative_to(start) else path
    if relative.is_absolute() or ".." in relative.parts:
        raise TreeError(f"the server names a file {view.path!r}, which leads out of {to}")
    return TreeFile(to.joinpath(*relative.parts), view.path, view.size_bytes, microseconds(view.modified_at))


class TreeDownload:
    """Download of a folder, or of a file or directory in it. `close` aborts its requests."""

    def __init__(self, folders: FolderFiles, folder: FolderView, close: Callable[[], None]) -> None:
        self._folders, self._folder, self._close = folders, folder, close
        self._left_out: list[LeftOut] = []

    def run(self, path: str, to: Path, *, skip_same: bool, progress: TreeProgress | None, parallel: int) -> TreeResult:
        """Download everything at `path`. Raises TreeError before anything is fetched, and the error that ends the
        download.
        """
        if os.path.lexists(to) and not to.is_dir():
            raise TreeError(f"{to}: found something that is no directory; allowed: a directory, or a new name")
        listed = local_paths(self._below(path.strip("/")), path, to)
        wanted, here = _already_here(listed.files) if skip_same else (listed.files, [])
        if progress is not None:
            progress.begin(sum(file.size_bytes for file in wanted))
        blocked = _make_directories({file.local.parent for file in wanted})
        self._left_out = listed.left_out
        self._left_out.extend(
            LeftOut(file.path, why) for file in wanted if (why := _in_the_way(file.local, blocked)) is not None
        )
        out = {row.path for row in self._left_out}
        jobs = self._jobs([file for file in wanted if file.path not in out])
        run(jobs, progress, parallel=parallel, close=self._close)
        blocked = _make_directories(directory.local for directory in listed.directories)
        self._left_out.extend(
            LeftOut(row.path, blocked[row.local]) for row in listed.directories if row.local in blocked
        )
        missing = {row.path for row in self._left_out}
        return TreeResult(
            files=tuple(file for file in wanted if file.path not in missing),
            same=tuple(here),
            directories=tuple(row.path for row in listed.directories if row.path not in missing),
            left_out=tuple(self._left_out),
        )

    def _below(self, path: str) -> Iterator[FileView]:
        """Yield the file at `path`, or the directory and everything below it. Raises TreeError if there is none."""
        if path:
            parent = path.rpartition("/")[0]
            there = next((view for view in self._listed(parent, recursive=False) if view.path == path), None)
            if there is None:
                raise TreeError(f"there is no {path} in {self._folder.name}")
            yield there
            if there.kind != "directory":
                return
        yield from self._listed(path, recursive=True)

    def _listed(self, path: str, *, recursive: bool) -> Iterator[FileView]:
        try:
            yield from self._folders.files(self._folder.id, path, recursive=recursive, everything=True)
        except ApiError as error:
            if error.status != 400 or not any(row.get("field") == "all" for row in error.errors):
                raise
            # an older manager, which does not list links and special files
            yield from self._folders.files(self._folder.id, path, recursive=recursive)

    def _jobs(self, files: Sequence[TreeFile]) -> list[Job]:
        few = [DownloadItem(file.path, file.local, file.size_bytes) for file in files if file.size_bytes <= SMALL_BYTES]
        return [
            *(partial(self._small, batch) for batch in batches(few)),
            *(partial(self._large, file) for file in files if file.size_bytes > SMALL_BYTES),
        ]

    def _small(self, batch: Sequence[DownloadItem], running: TransferState) -> None:
        running.check()
        missing = list(self._folders.download_small(self._folder.id, batch))
        self._left_out.extend(LeftOut(row.path, f"found {row.found}; allowed: {row.allowed}") for row in missing)
        for file in batch:
            running.tell(file.path, file.size_bytes, file.size_bytes)

    def _large(self, file: TreeFile, running: TransferState) -> None:
        running.one(file, self._one)

    def _one(self, file: TreeFile, progress: Progress) -> None:
        try:
            self._folders.download(self._folder.id, file.path, file.local, progress=progress)
        except ApiError as error:
            if error.status not in _THIS_FILE:
                raise
            self._left_out.append(LeftOut(file.path, str(error)))
            return
        except OSError as error:
            self._left_out.append(LeftOut(file.path, write_failure(error)))
            return
        if file.modified_ns is not None:
            os.utime(file.local, ns=(file.modified_ns, file.modified_ns))


def _make_directories(directories: Iterable[Path]) -> dict[Path, str]:
    """Create directories; return those that cannot be created, with the reason. Raises an OSError that concerns all of
    them.
    """
    blocked: dict[Path, str] = {}
    for directory in sorted(directories):
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            ways = (*reversed(directory.parents), directory)
            there = next((path for path in ways if not path.is_dir()), directory)
            blocked[directory] = f"{there} is here, and is no directory"
        except OSError as error:
            blocked[directory] = write_failure(error)
    return blocked


def _in_the_way(local: Path, blocked: Mapping[Path, str]) -> str | None:
    try:
        if stat.S_ISDIR(local.lstat().st_mode):
            return f"{local} is here, and is a directory"
    except OSError:  # it does not exist, or cannot be read
        pass
    return blocked.get(local.parent)


def _already_here(files: Sequence[TreeFile]) -> tuple[list[TreeFile], list[TreeFile]]:
    """Split the files into those to fetch, and those that exist locally with the same size and modification time."""
    wanted: list[TreeFile] = []
    here: list[TreeFile] = []
    for file in files:
        try:
            facts = file.local.lstat()
        except OSError:
            wanted.append(file)
            continue
        same = stat.S_ISREG(facts.st_mode) and (facts.st_size, rounded_ns(facts)) == (file.size_bytes, file.modified_ns)
        (here if same else wanted).append(file)
    return wanted, here
