"""Records of the model store."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.manager.domain.model_store import StoreDetail, StoreEntry
from headrace.manager.domain.records.folders import Folder


@dataclass(frozen=True)
class DueDefinitions:
    """A folder whose definition files are to be read, claimed by the caller until `until`."""

    folder: Folder
    until: datetime
    digest: str | None
    """Of what was read the last time; None: the folder is not in the store."""


@dataclass(frozen=True)
class StoreModel:
    """A folder of the model store."""

    folder: Folder
    project: str
    size_bytes: int
    files: int
    entry: StoreEntry
    detail: StoreDetail
    """Empty in lists."""
    shared_to_caller: bool = False
    """Whether the caller sees it because it is shared."""
