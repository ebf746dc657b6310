"""Records of model folders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import (
    FolderId,
    ProjectId,
)
from headrace.common.contracts.vocabulary import FileKind, UsageMode
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
