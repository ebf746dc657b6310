"""What of local files and directories is uploaded, and what is left out and why."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Final

from headrace.cli.errors import CliError

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_KINDS: Final = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)


@dataclass(frozen=True)
class Transfer:
    """One file: here, there, how large, and when it was changed (whole microseconds, as they travel)."""

    local: Path
    remote: str
    size_bytes: int
    modified_ns: int | None = None


def microseconds(time: datetime) -> int:
    """Return a time in nanoseconds since 1970, exactly."""
    since = time - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


@dataclass(frozen=True)
class LeftOut:
    """Something that is not uploaded."""

    path: str
    reason: str


@dataclass
class Plan:
    """What is uploaded. `directories`: paths of those in which nothing lies."""

    files: list[Transfer] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def plan_upload(paths: Sequence[Path], to: str) -> Plan:
    """Return what is sent: each file under its name, the content of each directory under its relative path.

    A link to a file is sent as that file. Raises CliError for what does not exist, or when two files would get the same path.
    """
    plan, taken = Plan(), dict[str, Path]()
    for path in paths:
        if not os.path.lexists(path):
            raise CliError(f"{path}: there is no such file or directory")
        top = path.is_dir()
        for local in _walk(path, plan) if top else (path,):
            name = local.relative_to(path).as_posix() if top else path.name
            remote = str(PurePosixPath(to.strip("/")) / name) if to.strip("/") else name
            if (reason := _unsendable(local, remote)) is not None:
                plan.left_out.append(LeftOut(_shown(local), reason))
                continue
            if local.is_dir():
                plan.directories.append(remote)
                continue
            if remote in taken:
                raise CliError(f"{local} and {taken[remote]} would both become {remote}")
            taken[remote] = local
            facts = local.stat()
            plan.files.append(Transfer(local, remote, facts.st_size, (facts.st_mtime_ns + 500) // 1000 * 1000))
    return plan


def _walk(top: Path, plan: Plan) -> Iterator[Path]:
    """Yield everything below `top` that is no directory with something in it, by path."""
    try:
        with os.scandir(top) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        plan.left_out.append(LeftOut(_shown(top), f"the directory cannot be read: {error.strerror}"))
        return
    for entry in found:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            if _empty(path):
                yield path
            else:
                yield from _walk(path, plan)
        else:
            yield path


def _empty(directory: Path) -> bool:
    try:
        with os.scandir(directory) as entries:
            return next(entries, None) is None
    except OSError:
        return False  # the walk says why


def _unsendable(local: Path, remote: str) -> str | None:
    """Return why it cannot be sent, None if it can."""
    try:
        remote.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    try:
        facts = local.stat()
    except OSError as error:
        return "a link to nothing" if local.is_symlink() else f"it cannot be read: {error.strerror}"
    if stat.S_ISDIR(facts.st_mode):
        return "a link to a directory" if local.is_symlink() else None
    if stat.S_ISREG(facts.st_mode):
        return None
    return next((kind for test, kind in _KINDS if test(facts.st_mode)), "no regular file")


def _shown(path: Path) -> str:
    return os.fsencode(path).decode(errors="replace")
