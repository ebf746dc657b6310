"""Results and callbacks of transfers of many files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Protocol

from headrace.sdk.errors import TreeError

MAX_ENTRIES: Final = 1_000_000
"""Files, directories and left-out entries of one transfer, which is planned in memory. As many as a project's folders
may hold."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class TreeFile:
    """One file: local path, path in the folder, size, and modification time (whole microseconds, as transferred)."""

    local: Path
    path: str
    size_bytes: int
    modified_ns: int | None = None


@dataclass(frozen=True)
class LeftOut:
    """File or directory that was not transferred, and why. `lasting`: repeating the transfer would not help."""

    path: str
    reason: str
    lasting: bool = False


@dataclass(frozen=True)
class TreeResult:
    """Result of an upload or download of a tree, with at most MAX_ENTRIES rows in all."""

    files: tuple[TreeFile, ...] = ()
    """Transferred files."""
    same: tuple[TreeFile, ...] = ()
    """Skipped files: they existed with the same size and modification time."""
    directories: tuple[str, ...] = ()
    """Empty directories that were created, by their paths in the folder."""
    left_out: tuple[LeftOut, ...] = ()

    @property
    def moved_bytes(self) -> int:
        """Bytes of the transferred files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def nothing(self) -> bool:
        """True if there was nothing to transfer."""
        return not (self.files or self.same or self.directories or self.left_out)


class TreeProgress(Protocol):
    """Progress callbacks of a transfer. `moved` is called from several threads; an exception from it ends the transfer."""

    def begin(self, total_bytes: int) -> None:
        """Called once before the first file, with the total size of all files to transfer."""

    def moved(self, path: str, done_bytes: int, size_bytes: int) -> None:
        """Called with the bytes transferred so far of the file at `path`; fewer than before if it starts anew."""


class ResumeStore(Protocol):
    """Store of the ids of incomplete uploads, by which a later process resumes them. Used from several threads."""

    def find(self, key: str) -> str | None:
        """Return the upload id of an earlier attempt, or None."""

    def remember(self, key: str, upload_id: str) -> None:
        """Store an upload id until forget()."""

    def forget(self, key: str) -> None:
        """Remove an upload id: the upload is complete, or was refused."""


def microseconds(time: datetime) -> int:
    """Convert a time to nanoseconds since 1970, exact to the microsecond."""
    since = time - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def check_count(entries: int, where: object) -> None:
    """Raise TreeError for more entries than one transfer takes."""
    if entries > MAX_ENTRIES:
        raise TreeError(
            f"{where}: found more than {MAX_ENTRIES:,} files and directories; allowed: at most so many in one transfer, "
            "so move its directories one by one"
        )
