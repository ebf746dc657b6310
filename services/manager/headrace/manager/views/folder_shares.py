"""Views of shares of folders, and of invitations."""

from __future__ import annotations

from headrace.common.contracts.http.folder_shares import FolderInvitationView, FolderShareView
from headrace.manager.domain.records.folder_shares import FolderShare
from headrace.manager.domain.records.folders import FolderAccess


def share_view(share: FolderShare) -> FolderShareView:
    """Return a share, or an open invitation."""
    return FolderShareView(
        id=share.id,
        folder_id=share.folder_id,
        project=share.project,
        project_id=share.project_id,
        user=share.user,
        all_projects=share.all_projects,
        permission=share.permission,
        created_by=share.created_by,
        created_at=share.created_at,
        expires_at=share.expires_at,
    )


def invitation_view(share: FolderShare, invited: FolderAccess) -> FolderInvitationView:
    """Return an open invitation to its user."""
    assert share.expires_at is not None  # noqa: S101 - each invitation has one, by a constraint
    return FolderInvitationView(
        id=share.id,
        folder=invited.name,
        folder_id=share.folder_id,
        usage_mode=invited.folder.usage_mode,
        permission=share.permission,
        created_by=share.created_by,
        created_at=share.created_at,
        expires_at=share.expires_at,
    )
