"""Records of model folders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import (
    FolderId,
    ProjectId,
)
from headrace.common.contracts.vocabulary import FileKind, UsageMode
from headrace.manager.domain.stored import Amount, Change


@dataclass(frozen=True)
class Folder:
    """A folder that is not deleted."""

    id: FolderId
    project_id: ProjectId
    name: str
    usage_mode: UsageMode
    created_at: datetime


@dataclass(frozen=True)
class DueFolder:
    """A folder whose walk is due, with what is counted of it, and what ever came and went."""

    id: FolderId
    counted: Amount
    ever: Change


@dataclass(frozen=True)
class FileEntry:
    """What lies in a folder at a path, relative to it."""

    path: str
    kind: FileKind
    size_bytes: int
    modified_at: datetime
