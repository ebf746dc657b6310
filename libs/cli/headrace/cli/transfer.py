"""Many files up or down, several at once, with progress; uploads that were broken off go on where they stopped."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path, PurePosixPath
from threading import Event, Lock
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from headrace.cli.errors import CliError
from headrace.cli.text import clean, size
from headrace.cli.upload_plan import LeftOut, Plan, Transfer, microseconds
from headrace.cli.uploads import Unfinished
from headrace.common.contracts.http.folders import FileView, FolderView
from headrace.sdk import ApiError, Client
from headrace.sdk.archives import SMALL_BYTES, Small, Wanted, batches

PARALLEL: Final = 4
_STEP_BYTES: Final = 32 * 1024 * 1024
"""Where no terminal is: a line of progress each time this much has moved."""


_FEW_DIRECTORIES: Final = 20
"""So many are listed one by one, of more the whole."""
_NOT_LISTED: Final = {404, 409}
"""Nothing is there yet, or something that cannot be listed: then nothing is skipped."""
_THIS_FILE: Final = {400, 409, 413, 460}
"""Refusals of one file that say nothing about the others."""


def downloads(files: Sequence[FileView], below: str, to: Path) -> list[Transfer]:
    """Return what is to be fetched into the directory `to`; `below` is the path that was asked for.

    Raises CliError when a path would lead out of `to`.
    """
    start = PurePosixPath(below.strip("/")).parent if below.strip("/") else PurePosixPath()
    found = []
    for file in files:
        if file.kind != "file":
            continue
        path = PurePosixPath(file.path)
        relative = path.relative_to(start) if path.is_relative_to(start) else path
        if relative.is_absolute() or ".." in relative.parts:
            raise CliError(f"the server names a file {file.path!r}, which leads out of {to}")
        found.append(Transfer(to.joinpath(*relative.parts), file.path, file.size_bytes, microseconds(file.modified_at)))
    return found


def empty_directories(files: Sequence[FileView], below: str, to: Path) -> list[Transfer]:
    """Return the directories in which nothing lies, as they are made in `to`; `below` is the path that was asked for."""
    parents = {str(PurePosixPath(file.path).parent) for file in files}
    empty = (file for file in files if file.kind == "directory" and file.path not in parents)
    return downloads([file.model_copy(update={"kind": "file", "size_bytes": 0}) for file in empty], below, to)


def send(client: Client, folder: FolderView, plan: Plan, unfinished: Unfinished, shown: Shown) -> list[LeftOut]:
    """Upload what is planned: small files many in one request, large ones one by one. Return what was left out, and why.

    A file that the server refuses costs itself. Another failure ends it, once those on the way have stopped; run again, large
    files go on where they stopped.
    """
    left_out = list(plan.left_out)

    def large(file: Transfer, progress: Callable[[int, int], None]) -> None:
        progress(0, file.size_bytes)
        key = unfinished.key(client.url, str(folder.id), file.remote, file.local)
        try:
            client.folders.upload(
                folder.id, file.local, file.remote, progress=progress, resume=unfinished.find(key),
                on_created=lambda upload_id: unfinished.remember(key, upload_id),
            )  # fmt: skip
        except ApiError as error:
            if error.status not in _THIS_FILE:
                raise
            left_out.append(LeftOut(file.remote, str(error)))
        except OSError as error:
            left_out.append(LeftOut(file.remote, f"it cannot be read: {error.strerror}"))
        unfinished.forget(key)

    def small(batch: list[Small], stop: Event) -> None:
        _check(stop)
        refused = client.folders.upload_small(folder.id, batch)
        left_out.extend(LeftOut(row.path, f"found {row.found}; allowed: {row.allowed}") for row in refused)
        for file in batch:
            shown.file(file.path)(file.size_bytes, file.size_bytes)

    few = [Small(file.local, file.remote, file.size_bytes) for file in plan.files if file.size_bytes <= SMALL_BYTES]
    jobs: list[Callable[[Event], None]] = [partial(small, batch) for batch in batches(few)]
    jobs += [partial(_one, file, large, shown) for file in plan.files if file.size_bytes > SMALL_BYTES]
    if plan.directories:
        refused = client.folders.upload_small(folder.id, (), directories=plan.directories)
        left_out.extend(LeftOut(row.path, f"found {row.found}; allowed: {row.allowed}") for row in refused)
    _all(jobs, shown, client)
    return left_out


def made(directories: Iterable[Path]) -> dict[Path, str]:
    """Make directories; return those that cannot be, because something else is there, with what. Raises OSError."""
    blocked: dict[Path, str] = {}
    for directory in sorted(directories):
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            ways = (*reversed(directory.parents), directory)
            there = next((path for path in ways if not path.is_dir()), directory)
            blocked[directory] = f"{there} is here, and is no directory"
    return blocked


def fetch(client: Client, folder: FolderView, wanted: Sequence[Transfer], shown: Shown) -> list[LeftOut]:
    """Download `wanted`, each whole or not at all: small ones many in one request. Return what did not come, and why.

    What cannot be put here, because something else is in its place, costs itself.
    """
    blocked = made({file.local.parent for file in wanted})
    left_out = [LeftOut(file.remote, why) for file in wanted if (why := _in_the_way(file.local, blocked)) is not None]
    out = {row.path for row in left_out}
    files = [file for file in wanted if file.remote not in out]

    def one(file: Transfer, progress: Callable[[int, int], None]) -> None:
        client.folders.download(folder.id, file.remote, file.local, progress=progress)
        if file.modified_ns is not None:
            os.utime(file.local, ns=(file.modified_ns, file.modified_ns))

    def small(batch: list[Wanted], stop: Event) -> None:
        _check(stop)
        missing = client.folders.download_small(folder.id, batch)
        left_out.extend(LeftOut(row.path, f"found {row.found}; allowed: {row.allowed}") for row in missing)
        for file in batch:
            shown.file(file.path)(file.size_bytes, file.size_bytes)

    few = [Wanted(file.remote, file.local, file.size_bytes) for file in files if file.size_bytes <= SMALL_BYTES]
    jobs: list[Callable[[Event], None]] = [partial(small, batch) for batch in batches(few)]
    jobs += [partial(_one, file, one, shown) for file in files if file.size_bytes > SMALL_BYTES]
    _all(jobs, shown, client)
    return left_out


def _in_the_way(local: Path, blocked: Mapping[Path, str]) -> str | None:
    if local.is_dir() and not local.is_symlink():
        return f"{local} is here, and is a directory"
    return blocked.get(local.parent)


def already_here(files: Sequence[Transfer]) -> tuple[list[Transfer], list[Transfer]]:
    """Return which are to be fetched, and which are here already: with the same size and time of change."""
    wanted: list[Transfer] = []
    here: list[Transfer] = []
    for file in files:
        try:
            facts = file.local.lstat()
        except OSError:
            wanted.append(file)
            continue
        same = stat.S_ISREG(facts.st_mode) and (
            facts.st_size, (facts.st_mtime_ns + 500) // 1000 * 1000,
        ) == (file.size_bytes, file.modified_ns)  # fmt: skip
        (here if same else wanted).append(file)
    return wanted, here


def already_there(client: Client, folder: FolderView, files: Sequence[Transfer], to: str) -> set[str]:
    """Return the paths of those that lie in the folder with the same size and time of change."""
    parents = {file.remote.rpartition("/")[0] for file in files}
    few = len(parents) <= _FEW_DIRECTORIES
    there: dict[str, tuple[int, int]] = {}
    wanted = {file.remote for file in files}
    for parent in sorted(parents) if few else [to.strip("/")]:
        try:
            for view in client.folders.files(folder.id, parent, recursive=not few):
                if view.kind == "file" and view.path in wanted:
                    there[view.path] = view.size_bytes, microseconds(view.modified_at)
        except ApiError as error:
            if error.status not in _NOT_LISTED:
                raise
    return {file.remote for file in files if there.get(file.remote) == (file.size_bytes, file.modified_ns)}


class _StoppedError(Exception):
    """Another file failed, or the person stopped it."""


def _check(stop: Event) -> None:
    if stop.is_set():
        raise _StoppedError


def _one(
    file: Transfer, work: Callable[[Transfer, Callable[[int, int], None]], None], shown: Shown, stop: Event
) -> None:
    tell = shown.file(file.remote)

    def progress(done: int, total: int) -> None:
        _check(stop)
        tell(done, total)

    progress(0, file.size_bytes)
    work(file, progress)
    tell(file.size_bytes, file.size_bytes)


def _all(jobs: Sequence[Callable[[Event], None]], shown: Shown, client: Client) -> None:
    stop = Event()
    with shown, ThreadPoolExecutor(PARALLEL) as pool:
        futures = [pool.submit(job, stop) for job in jobs]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException:
            client.close()  # so that none of them goes on waiting for a server that is away
            raise
        finally:
            stop.set()
            _ended(futures)
    for future in futures:
        if (
            not future.cancelled()
            and (error := future.exception()) is not None
            and not isinstance(error, _StoppedError)
        ):
            raise error


def _ended(futures: Sequence[Future[None]]) -> None:
    for future in futures:
        future.cancel()


class Shown(AbstractContextManager["Shown"]):
    """Progress of all files together: a bar on a terminal, else a line now and then; nothing when `quiet`."""

    def __init__(self, what: str, total_bytes: int, *, quiet: bool = False) -> None:
        self._what, self._total, self._quiet = what, total_bytes, quiet
        self._done: dict[str, int] = {}
        self._moved = self._said = 0
        self._lock = Lock()
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._open = ExitStack()

    def __enter__(self) -> Shown:
        if not self._quiet and sys.stderr.isatty():
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True), TransferSpeedColumn(), TimeRemainingColumn(),
                console=Console(stderr=True),
            )  # fmt: skip
            self._open.enter_context(self._bar)
            self._task = self._bar.add_task(clean(self._what), total=max(self._total, 1))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._open.close()

    def file(self, path: str) -> Callable[[int, int], None]:
        """Return the progress function of one file."""

        def tell(done: int, _total: int) -> None:
            with self._lock:
                self._moved += done - self._done.get(path, 0)
                self._done[path] = done
                self._show(self._moved)

        return tell

    def _show(self, done: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
        elif not self._quiet and (done - self._said >= _STEP_BYTES or done == self._total > self._said):
            self._said = done
            sys.stderr.write(clean(f"{self._what}: {size(done)} of {size(self._total)}") + "\n")
            sys.stderr.flush()
