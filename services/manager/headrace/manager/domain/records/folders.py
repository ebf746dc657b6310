"""Records of model folders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import (
    FolderId,
    ProjectId,
)
from headrace.common.contracts.vocabulary import FileKind, FolderPermission, Role, UsageMode
from headrace.manager.domain.storage_usage import StorageChange, StorageUsage


@dataclass(frozen=True)
class Folder:
    """A folder that was not deleted."""

    id: FolderId
    project_id: ProjectId
    name: str
    usage_mode: UsageMode
    created_at: datetime
    source: str | None = None
    """Model URI whose files it holds; None: it is its users' own."""


@dataclass(frozen=True)
class FolderAccess:
    """A folder that a caller, or a project's services, may use, and by what right."""

    folder: Folder
    project: str
    """Name of its project."""
    role: Role | None
    """The caller's role there; None: it is no member."""
    permission: FolderPermission | None
    """By a share; None: there is none."""

    @property
    def name(self) -> str:
        """The name by which other projects know it."""
        return f"{self.project}/{self.folder.name}"


@dataclass(frozen=True)
class FolderFacts:
    """What a view of a folder says beside the folder itself, to a caller."""

    project: str
    usage: StorageUsage
    role: Role | None
    permission: FolderPermission | None
    shared_with: int
    shared_with_all: bool


@dataclass(frozen=True)
class FolderUsers:
    """Services that mount a folder."""

    count: int
    seen: tuple[tuple[str, str], ...]
    """Service and project of those that the caller may see, a bounded number."""


@dataclass(frozen=True)
class TrashedFolder:
    """A deleted folder that can be restored, and what it counts for."""

    folder: Folder
    trashed_at: datetime
    trashed_by: str
    usage: StorageUsage


@dataclass(frozen=True)
class DueFolder:
    """A folder due for measuring: its counted usage, and the totals ever added and removed."""

    id: FolderId
    counted: StorageUsage
    ever: StorageChange


@dataclass(frozen=True)
class FileEntry:
    """A file or directory in a folder, with its path relative to it."""

    path: str
    kind: FileKind
    size_bytes: int
    modified_at: datetime
