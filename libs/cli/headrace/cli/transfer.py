"""Many files up or down, several at once, with progress; uploads that were broken off go on where they stopped."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from threading import Event
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
from headrace.cli.uploads import Unfinished
from headrace.common.contracts.http.folders import FileView, FolderView
from headrace.sdk import Client

PARALLEL: Final = 4
_STEP_BYTES: Final = 32 * 1024 * 1024
"""Where no terminal is: a line of progress each time this much has moved."""


@dataclass(frozen=True)
class Transfer:
    """One file: here, there, and how large."""

    local: Path
    remote: str
    size_bytes: int


def uploads(paths: Sequence[Path], to: str) -> list[Transfer]:
    """Return what is to be sent: each file under its name, the content of each directory under its relative path.

    Raises CliError for what is neither, or when two files would get the same path.
    """
    found: dict[str, Transfer] = {}
    for path in paths:
        if path.is_dir():
            files = [(file, file.relative_to(path).as_posix()) for file in sorted(path.rglob("*")) if file.is_file()]
        elif path.is_file():
            files = [(path, path.name)]
        else:
            raise CliError(f"{path}: there is no such file or directory")
        for file, name in files:
            remote = str(PurePosixPath(to.strip("/")) / name) if to.strip("/") else name
            if remote in found:
                raise CliError(f"{file} and {found[remote].local} would both become {remote}")
            found[remote] = Transfer(file, remote, file.stat().st_size)
    return list(found.values())


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
        found.append(Transfer(to.joinpath(*relative.parts), file.path, file.size_bytes))
    return found


def send(client: Client, folder: FolderView, files: Sequence[Transfer], unfinished: Unfinished, shown: Shown) -> None:
    """Upload `files`. The first failure ends it, once those on the way have stopped; the rest can be sent again."""

    def one(file: Transfer, progress: Callable[[int, int], None]) -> None:
        key = unfinished.key(client.url, str(folder.id), file.remote, file.local)
        client.folders.upload(
            folder.id, file.local, file.remote, progress=progress, resume=unfinished.find(key),
            on_created=lambda upload_id: unfinished.remember(key, upload_id),
        )  # fmt: skip
        unfinished.forget(key)

    _all(files, one, shown)


def fetch(client: Client, folder: FolderView, files: Sequence[Transfer], shown: Shown) -> None:
    """Download `files`, each whole or not at all."""

    def one(file: Transfer, progress: Callable[[int, int], None]) -> None:
        file.local.parent.mkdir(parents=True, exist_ok=True)
        client.folders.download(folder.id, file.remote, file.local, progress=progress)

    _all(files, one, shown)


class _StoppedError(Exception):
    """Another file failed, or the person stopped it."""


def _all(files: Sequence[Transfer], one: Callable[[Transfer, Callable[[int, int], None]], None], shown: Shown) -> None:
    stop = Event()

    def run(file: Transfer) -> None:
        tell = shown.file(file)

        def progress(done: int, total: int) -> None:
            if stop.is_set():
                raise _StoppedError
            tell(done, total)

        progress(0, file.size_bytes)
        one(file, progress)
        tell(file.size_bytes, file.size_bytes)

    with shown, ThreadPoolExecutor(PARALLEL) as pool:
        futures = [pool.submit(run, file) for file in files]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
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
        self._said = 0
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

    def file(self, file: Transfer) -> Callable[[int, int], None]:
        """Return the progress function of one file."""

        def tell(done: int, _total: int) -> None:
            self._done[file.remote] = done
            self._show(sum(self._done.copy().values()))

        return tell

    def _show(self, done: int) -> None:
        if self._bar is not None:
            self._bar.update(self._task, completed=done)
        elif not self._quiet and (done - self._said >= _STEP_BYTES or done == self._total > self._said):
            self._said = done
            sys.stderr.write(clean(f"{self._what}: {size(done)} of {size(self._total)}") + "\n")
            sys.stderr.flush()
