"""Shares of folders: with other projects, with all of them, and invitations of users to one of theirs."""

from __future__ import annotations

from typing import Self

from pydantic import AwareDatetime, model_validator

from headrace.common.contracts.http.page import Body, Reference, View
from headrace.common.contracts.ids import FolderId, FolderShareId, ProjectId
from headrace.common.contracts.vocabulary import FolderPermission, UsageMode
from headrace.common.contracts.wording import Refused


class ShareFolder(Body):
    """With whom a folder is shared: one of `project`, `user` and `all_projects`. One that is there gets the permission."""

    project: Reference | None = None
    """A project in which the caller may change things: it is shared at once."""
    user: Reference | None = None
    """A user, by name or id, who is invited to name a project that it is shared with."""
    all_projects: bool = False
    """All projects, also later ones, to read (operators)."""
    permission: FolderPermission = "read"

    @model_validator(mode="after")
    def _one(self) -> Self:
        named = [name for name in ("project", "user") if getattr(self, name) is not None]
        named += ["all_projects"] if self.all_projects else []
        if len(named) != 1:
            raise Refused(" and ".join(named) or "nothing", "one of project, user and all_projects")
        if self.all_projects and self.permission != "read":
            raise Refused(self.permission, "read, for all projects", below="permission")
        return self


class FolderShareView(View):
    """A share of a folder, or an invitation that nobody has answered."""

    id: FolderShareId
    folder_id: FolderId
    project: str | None
    """With which project it is shared; null: with all, or none yet."""
    project_id: ProjectId | None
    user: str | None
    """Who is invited; null: it is no invitation."""
    all_projects: bool
    permission: FolderPermission
    created_by: str
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    """Until when the invitation can be accepted."""


class FolderInvitationView(View):
    """An invitation of the caller to share a folder with one of her projects."""

    id: FolderShareId
    folder: str
    """`<project>/<name>`."""
    folder_id: FolderId
    usage_mode: UsageMode
    permission: FolderPermission
    created_by: str
    created_at: AwareDatetime
    expires_at: AwareDatetime


class AcceptFolder(Body):
    """The project that a folder is shared with by accepting an invitation. `project` may be left out by members of one."""

    project: Reference | None = None
