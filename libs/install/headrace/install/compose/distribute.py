"""Copies files of an installation for the parts of a compose project, each into a volume of its own, with its own owner.

`python -m headrace.install.compose.distribute INSTALLATION PARTS 'NAME UID:GID [FILE[=TARGET]…]' …`: PARTS/NAME and the named files
below it become UID's. A part without files is a folder of data, of which only the folder itself is given. Run as root, where
the installation's folder is its maker's only; again: only what differs is replaced.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from headrace.install.errors import InstallError

_PART: Final = re.compile(r"(?P<name>[a-z0-9-]+) (?P<uid>\d{1,9}):(?P<gid>\d{1,9})(?P<files>( \S+)*)")
MAX_FILE_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Part:
    """One container's share: its files, and the account that it runs as."""

    name: str
    uid: int
    gid: int
    files: tuple[tuple[PurePosixPath, PurePosixPath], ...] = ()
    """Path in the installation, and in the part."""


def parsed(text: str) -> Part:
    """Return the part that `text` describes. Raises InstallError."""
    found = _PART.fullmatch(text)
    pairs = [word.partition("=") for word in (found["files"].split() if found else ())]
    files = tuple((PurePosixPath(source), PurePosixPath(target or source)) for source, _, target in pairs)
    if not found or any(file.is_absolute() or ".." in file.parts for pair in files for file in pair):
        raise InstallError(
            f"found {ascii(text)[1:-1]}; allowed: 'NAME UID:GID [FILE[=TARGET]…]', the files below the installation"
        )
    return Part(found["name"], int(found["uid"]), int(found["gid"]), files)


def distribute(installation: Path, folder: Path, part: Part) -> list[str]:
    """Bring `folder` up to date and return the files that were replaced. Raises InstallError."""
    replaced = []
    try:
        _owned(folder, part, 0o700)
        for source, target in part.files:
            for parent in list(target.parents)[-2::-1]:
                (folder / parent).mkdir(exist_ok=True)
                _owned(folder / parent, part, 0o700)
            if _copied(installation / source, folder / target, part):
                replaced.append(str(source))
    except OSError as error:
        raise InstallError(
            f"{part.name}: {error.filename or folder} cannot be used: {error.strerror or error}"
        ) from None
    return replaced


def main(words: Sequence[str]) -> int:
    """Return the exit status: 0 done; 1 something cannot be used, and 2 wrong usage, in one line."""
    if len(words) < 3:
        sys.stderr.write("usage: distribute INSTALLATION PARTS 'NAME UID:GID [FILE[=TARGET]…]' …\n")
        return 2
    try:
        parts = [parsed(text) for text in words[2:]]
        for part in parts:
            replaced = distribute(Path(words[0]), Path(words[1]) / part.name, part)
            if replaced:
                sys.stdout.write(f"{part.name}: {', '.join(replaced)}\n")
    except InstallError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _copied(source: Path, target: Path, part: Part) -> bool:
    """Replace `target` atomically if it differs; a service reads the whole former file or the whole new one."""
    with source.open("rb") as file:
        content = file.read(MAX_FILE_BYTES + 1)
    if len(content) > MAX_FILE_BYTES:
        raise InstallError(
            f"{part.name}: found {source} with more than {MAX_FILE_BYTES} bytes; allowed: files of `headrace init`"
        )
    try:
        same = target.read_bytes() == content
    except FileNotFoundError:
        same = False
    if same:
        _owned(target, part, 0o600)
        return False
    new = target.with_name(f".{target.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _owned(new, part, 0o600)
    new.replace(target)
    return True


def _owned(path: Path, part: Part, mode: int) -> None:
    """Give `path` to the part's account; a link is refused by its mode."""
    shutil.chown(path, part.uid, part.gid)
    path.chmod(mode)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
