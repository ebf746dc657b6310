"""Upload plan: local files and directories to send, and those left out with the reason."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from headrace.sdk.downloads import rounded_ns
from headrace.sdk.errors import TreeError
from headrace.sdk.trees.results import LeftOut, TreeFile, check_count

_KINDS: Final = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
)
MAX_LEVELS: Final = 100
"""Deepest path in a folder."""


@dataclass
class Plan:
    """Files and directories to upload. `directories`: paths of empty ones."""

    files: list[TreeFile] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def plan_upload(sources: Sequence[Path], to: str, only: Callable[[str], bool] | None = None) -> Plan:
    """Return what is to be uploaded: each file under its name, the content of each directory under its relative path.

    A link to a file is sent as that file. Paths in the folder that `only` rejects are skipped. Raises TreeError for
    missing sources, two files with the same path, and beyond MAX_ENTRIES.
    """
    plan, taken = Plan(), dict[str, Path]()
    for source in sources:
        if not os.path.lexists(source):
            raise TreeError(f"{source}: there is no such file or directory")
        top = source.is_dir()
        for local in _walk(source, plan) if top else (source,):
            name = local.relative_to(source).as_posix() if top else source.name
            remote = str(PurePosixPath(to.strip("/")) / name) if to.strip("/") else name
            if only is None or only(remote):
                _add(plan, taken, local, remote)
            check_count(len(plan.files) + len(plan.directories) + len(plan.left_out), source)
    return plan


def _add(plan: Plan, taken: dict[str, Path], local: Path, remote: str) -> None:
    if (reason := _unsendable(local, remote)) is not None:
        plan.left_out.append(LeftOut(_shown(local), reason, lasting=True))
    elif local.is_dir():
        plan.directories.append(remote)
    elif remote in taken:
        raise TreeError(f"{local} and {taken[remote]} would both become {remote}")
    else:
        taken[remote] = local
        facts = local.stat()
        plan.files.append(TreeFile(local, remote, facts.st_size, rounded_ns(facts)))


def _walk(top: Path, plan: Plan, level: int = 1) -> Iterator[Path]:
    """Yield everything below `top` except non-empty directories, by path."""
    try:
        with os.scandir(top) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        plan.left_out.append(LeftOut(_shown(top), f"the directory cannot be read: {error.strerror}", lasting=True))
        return
    for entry in found:
        path = Path(entry.path)
        if entry.is_dir(follow_symlinks=False):
            if _empty(path):
                yield path
            elif level == MAX_LEVELS:
                plan.left_out.append(LeftOut(_shown(path), f"it lies deeper than {MAX_LEVELS} levels", lasting=True))
            else:
                yield from _walk(path, plan, level + 1)
        else:
            yield path


def _empty(directory: Path) -> bool:
    try:
        with os.scandir(directory) as entries:
            return next(entries, None) is None
    except OSError:
        return False  # the walk says why


def _unsendable(local: Path, remote: str) -> str | None:
    """Return why it cannot be uploaded, or None."""
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
