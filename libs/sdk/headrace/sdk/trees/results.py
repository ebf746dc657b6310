"""Results and callbacks of transfers of many files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from headrace.sdk.errors import TreeError

MOST_ENTRIES: Final = 1_000_000
"""Files, directories and what is left out, of one transfer: they are planned in memory. As many as a project's folders may hold."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class TreeFile:
    """One file: here, its path in the folder, how large, and when it was changed (whole microseconds, as they travel)."""

    local: Path
    path: str
    size_bytes: int
    modified_ns: int | None = None


@dataclass(frozen=True)
class LeftOut:
    """Something that did not go or come, and why. `lasting`: doing it again changes nothing, because of what it is."""

    path: str
    reason: str
    lasting: bool = False


@dataclass(frozen=True)
class TreeResult:
    """What an upload or download of a tree came to, with at most MOST_ENTRIES rows together."""

    files: tuple[TreeFile, ...] = ()
    """Those that went, or came."""
    same: tuple[TreeFile, ...] = ()
    """Those that were there already, with the same size and time of change."""
    directories: tuple[str, ...] = ()
    """Paths in the folder of directories without files, which were made."""
    left_out: tuple[LeftOut, ...] = ()

    @property
    def moved_bytes(self) -> int:
        """Bytes of the files that went, or came."""
        return sum(file.size_bytes for file in self.files)

    @property
    def nothing(self) -> bool:
        """Whether there was nothing at all."""
        return not (self.files or self.same or self.directories or self.left_out)


class TreeProgress(Protocol):
    """Hears how far a transfer is. `moved` is called by several threads; what it raises ends the transfer."""

    def begin(self, total_bytes: int) -> None:
        """Called once, when it is known what is to be moved, before anything is."""

    def moved(self, path: str, done_bytes: int, size_bytes: int) -> None:
        """So much of the file at `path` in the folder has moved; less than before where it began anew."""


class ResumeStore(Protocol):
    """Keeps ids of uploads that are not complete, so that a later process goes on with them. Used by several threads."""

    def find(self, key: str) -> str | None:
        """Return the upload id of an earlier try."""

    def remember(self, key: str, upload_id: str) -> None:
        """Keep the upload id until forget()."""

    def forget(self, key: str) -> None:
        """Drop it: the upload is complete, or was refused."""


def microseconds(time: datetime) -> int:
    """Return a time in nanoseconds since 1970, exactly."""
    since = time - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def check_count(entries: int, where: object) -> None:
    """Raise TreeError for more than one transfer plans."""
    if entries > MOST_ENTRIES:
        raise TreeError(
            f"{where}: found more than {MOST_ENTRIES:,} files and directories; allowed: at most so many in one transfer, "
            "so move its directories one by one"
        )
