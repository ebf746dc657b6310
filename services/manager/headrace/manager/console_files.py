"""Files of the web console: read whole into memory, so that no path of a request ever reaches a file system."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import structlog

from headrace.manager.domain.console_answers import ENCODINGS, PAGE, BuiltConsole, ConsoleFile, media_type
from headrace.manager.threads import in_thread

log = structlog.get_logger()
PACKAGED: Final = Path(__file__).parent / "console"
"""Where a wheel has it."""
MAX_FILES: Final = 2000
MAX_FILE_BYTES: Final = 8 * 1024 * 1024
MAX_TOTAL_BYTES: Final = 64 * 1024 * 1024
_CHECKOUT: Final = Path(__file__).parents[4]
_LOOK_EVERY_S: Final = 1.0
_READ_S: Final = 10.0


class ConsoleFiles:
    """Console in a folder. It is read when it is asked for first, and again when it was built anew; a broken one is not taken."""

    def __init__(self, folder: Path, *, soon: bool, monotonic: Callable[[], float]) -> None:
        """`soon`: whether a folder that is not there may come while this manager runs."""
        self.folder = folder
        self.soon = soon
        self._monotonic = monotonic
        self._looked_at: float | None = None
        self._seen: tuple[int, ...] | None = None
        self._built: BuiltConsole | None = None
        self._one = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, "console-files")  # of its own: a disk that hangs holds up nobody else

    async def built(self) -> BuiltConsole | None:
        """Return the console as it was built last; None where there is none."""
        if self._built is not None and self._one.locked():
            return self._built
        async with self._one:
            now = self._monotonic()
            if self._looked_at is None or now - self._looked_at >= _LOOK_EVERY_S:
                self._looked_at = now
                await self._look()
            return self._built

    async def _look(self) -> None:
        try:
            found = await in_thread(self._thread, lambda: _identity(self.folder), timeout_s=_READ_S)
            if found is None or found == self._seen:
                return
            self._built = await in_thread(self._thread, lambda: read_console(self.folder), timeout_s=_READ_S)
            self._seen = found
        except (OSError, ValueError) as error:  # of a slow file system TimeoutError, too
            log.warning("console_unreadable", folder=str(self.folder), why=str(error) or "it takes too long")


def console_folder(configured: Path | None) -> tuple[Path, bool]:
    """Return where the console's files are, and whether they may still be built there: in a checkout by `make console`."""
    if configured is not None:
        return configured, True
    if not PACKAGED.is_dir() and (_CHECKOUT / "console" / "package.json").is_file():
        return _CHECKOUT / "build" / "console", True
    return PACKAGED, False


def read_console(folder: Path) -> BuiltConsole:
    """Read a console that was built. Blocks. Raises OSError, and ValueError for what is no console."""
    contents = dict(_contents(folder))
    page = contents.pop(PAGE).decode()
    forms = {f"{name}{end}": (name, coding) for name in contents for coding, end in ENCODINGS.items()}
    return BuiltConsole(
        page=page,
        files={
            name: ConsoleFile(
                content_type=media_type(name),
                digest=hashlib.sha256(content).hexdigest()[:32],
                content=content,
                compressed={
                    coding: contents[f"{name}{end}"] for coding, end in ENCODINGS.items() if f"{name}{end}" in contents
                },
            )
            for name, content in contents.items()
            if name not in forms
        },
    )


def _contents(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield path and content of each file below the folder. Links, and names that begin with a dot, are left out."""
    files, left = 0, MAX_TOTAL_BYTES
    for top, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(top) / name
            kind = path.lstat()
            if name.startswith(".") or not stat.S_ISREG(kind.st_mode):
                continue
            files, left = files + 1, left - kind.st_size
            if files > MAX_FILES or kind.st_size > MAX_FILE_BYTES or left < 0:
                raise ValueError(
                    f"found {files} files, of which {name} has {kind.st_size} bytes; allowed: {MAX_FILES} files, "
                    f"{MAX_FILE_BYTES} bytes each, {MAX_TOTAL_BYTES} in all"
                )
            yield path.relative_to(folder).as_posix(), path.read_bytes()


def _identity(folder: Path) -> tuple[int, ...] | None:
    """Return what tells one build's page from another's; None where there is none."""
    try:
        found = (folder / PAGE).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _raise(error: OSError) -> None:
    raise error
