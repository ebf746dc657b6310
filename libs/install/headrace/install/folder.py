"""The folder of an installation: private, changed by one process at a time, compared with what it should hold."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from headrace.common.runtime.files import remove_leftovers, write_atomically
from headrace.install.errors import InstallError
from headrace.install.files import STATE, File
from headrace.install.state import State

_LOOKED_AT: Final = 100


class Found(StrEnum):
    """How a file was found."""

    UNCHANGED = "unchanged"
    MADE = "made"
    """It was not there."""
    UPDATED = "updated"
    """It was as the installation had written it, which is out of date."""
    EDITED = "edited"
    """Somebody changed it: it is left as it is."""
    MODE = "mode repaired"
    """Others could read it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of the folder, for people."""

    path: str
    what: str
    secret: bool
    found: Found


@contextmanager
def opened(folder: Path, *, create: bool) -> Iterator[Path]:
    """Yield the folder, locked, private and with its temporary files removed. Raises InstallError where it cannot be used.

    A folder with other files in it is not taken, nor one of another account.
    """
    try:
        names = sorted(entry.name for entry in islice(folder.iterdir(), _LOOKED_AT)) if folder.exists() else []
        foreign = [name for name in names if not (name.startswith(f".{STATE}.") and name.endswith(".new"))]
        if foreign and STATE not in names and not (folder / STATE).exists():
            raise InstallError(
                f"{folder} holds other files ({', '.join(foreign[:3])}{', …' if len(foreign) > 3 else ''}); "
                "allowed: a new or empty folder, or one that `headrace init` has made"
            )
        if not create and not (folder / STATE).exists():
            raise InstallError(f"{folder} holds no installation; allowed: a folder that `headrace init` has made")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _check_owner(folder)
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise _not_usable(folder, error) from None
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InstallError(f"another `headrace init` works on {folder}; try again when it is done") from None
        try:
            if not os.access(folder, os.W_OK | os.X_OK):
                raise InstallError(f"{folder} cannot be used: not writable for uid {os.geteuid()}")
            os.fchmod(fd, 0o700)
            _remove_leftovers(folder)
        except OSError as error:
            raise _not_usable(folder, error) from None
        yield folder.resolve()
    finally:
        os.close(fd)


def stored_state(folder: Path) -> State | None:
    """Return what was generated for this folder; None for a new one. Raises InstallError if it cannot be read."""
    file = folder / STATE
    try:
        return State.model_validate_json(file.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InstallError(
            f"{file} cannot be read ({_first_of(error)}): bring back a copy of it, or take an empty folder"
        ) from None
    except OSError as error:
        raise _not_usable(file, error) from None


def _first_of(error: ValidationError) -> str:
    """Return the place of the first mistake, or what is wrong with the whole file. Never its content."""
    first = error.errors(include_input=False, include_url=False)[0]
    return ".".join(map(str, first["loc"])) or first["msg"]


def store_state(folder: Path, state: State) -> None:
    """Replace the state. Raises InstallError."""
    try:
        write_atomically(folder / STATE, state.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise _not_usable(folder / STATE, error) from None


def compare(folder: Path, files: Mapping[str, File], written: Mapping[str, str]) -> list[Entry]:
    """Return how each file is found. `written`: SHA-256 of what was written last."""
    return [
        Entry(path, file.what, file.secret, _found(folder / path, file, written.get(path)))
        for path, file in sorted(files.items())
    ]


def write(folder: Path, files: Mapping[str, File], entries: list[Entry]) -> dict[str, str]:
    """Write what is missing or out of date, and return path → SHA-256 of all that are as rendered. Raises InstallError.

    Killed in between, the same is done again by the next run.
    """
    for entry in entries:
        path, file = folder / entry.path, files[entry.path]
        try:
            if entry.found in {Found.MADE, Found.UPDATED}:
                path.parent.mkdir(mode=0o700, exist_ok=True)
                write_atomically(path, file.content)
            if entry.found not in {Found.UNCHANGED, Found.EDITED}:
                path.chmod(_mode(file))
        except OSError as error:
            raise _not_usable(path, error) from None
    return {entry.path: _digest(files[entry.path].content) for entry in entries if entry.found is not Found.EDITED}


def _found(path: Path, file: File, written: str | None) -> Found:
    try:
        content, mode = path.read_bytes(), path.stat().st_mode & 0o777
    except FileNotFoundError:
        return Found.MADE
    except OSError as error:
        raise _not_usable(path, error) from None
    if content != file.content.encode():
        return Found.UPDATED if hashlib.sha256(content).hexdigest() == written else Found.EDITED
    return Found.MODE if mode & ~_widest(file) or mode & 0o600 != 0o600 else Found.UNCHANGED


def _mode(file: File) -> int:
    return 0o600 if file.secret else 0o644


def _widest(file: File) -> int:
    return _mode(file) | (0o040 if file.group_may_read else 0)


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _check_owner(folder: Path) -> None:
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        raise InstallError(
            f"{folder} belongs to uid {owner} and this is uid {os.geteuid()}; run as its owner, or choose another folder"
        )


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files of killed runs."""
    remove_leftovers(folder)
    for below in folder.iterdir():
        if below.is_dir() and not below.is_symlink():
            with suppress(FileNotFoundError):
                remove_leftovers(below)


def _not_usable(path: Path, error: OSError) -> InstallError:
    return InstallError(f"{path} cannot be used: {error.strerror or error}")
