"""Records of uploads into folders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from headrace.common.contracts.ids import FolderId


@dataclass(frozen=True)
class Upload:
    """An incomplete upload into a folder."""

    id: UUID
    folder_id: FolderId
    path: str
    size_bytes: int
    sha256: str | None
    created_at: datetime
    modified_ns: int | None = None
    """Modification time at the source."""
