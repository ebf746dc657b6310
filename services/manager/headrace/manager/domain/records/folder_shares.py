"""Records of shares of folders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import FolderId, FolderShareId, ProjectId, UserId
from headrace.common.contracts.vocabulary import FolderPermission


@dataclass(frozen=True)
class FolderShare:
    """A share of a folder with a project or with all; or an invitation of a user."""

    id: FolderShareId
    folder_id: FolderId
    project_id: ProjectId | None
    project: str | None
    user_id: UserId | None
    user: str | None
    all_projects: bool
    permission: FolderPermission
    created_by: str
    created_at: datetime
    expires_at: datetime | None
    """Of an invitation."""

    @property
    def whom(self) -> str:
        """With whom, in words."""
        if self.all_projects:
            return "all projects"
        return f"project {self.project}" if self.project is not None else f"user {self.user}"
