"""Rights to folders, by role and by share."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args

import pytest

from headrace.common.contracts.ids import FolderId, FolderShareId, ProjectId, UserId, new_uuid
from headrace.common.contracts.vocabulary import FolderPermission, Role
from headrace.manager.domain.access import Actor
from headrace.manager.domain.folder_rights import FolderRight, may, refusal, split_reference
from headrace.manager.domain.records.folder_shares import FolderShare
from headrace.manager.domain.records.folders import Folder, FolderAccess

NOW = datetime(2026, 11, 30, tzinfo=UTC)
SOMEBODY = Actor(UserId(new_uuid()), "somebody", operator=False)
OPERATOR = Actor(UserId(new_uuid()), "root", operator=True)
RIGHTS: tuple[FolderRight, ...] = get_args(FolderRight)


def access(role: Role | None, permission: FolderPermission | None = None) -> FolderAccess:
    folder = Folder(FolderId(new_uuid()), ProjectId(new_uuid()), "chat", "model", NOW)
    return FolderAccess(folder, "red", role, permission)


def rights(actor: Actor, found: FolderAccess) -> set[FolderRight]:
    return {right for right in RIGHTS if may(actor, found, right)}


def test_a_share_gives_its_files_and_a_role_the_folder() -> None:
    assert rights(SOMEBODY, access(None)) == set()
    assert rights(SOMEBODY, access(None, "read")) == {"read"}
    assert rights(SOMEBODY, access(None, "write")) == {"read", "write"}
    assert rights(SOMEBODY, access("viewer")) == {"read"}
    assert rights(SOMEBODY, access("member")) == {"read", "write", "manage"}
    assert rights(SOMEBODY, access("owner")) == set(RIGHTS)
    assert rights(OPERATOR, access(None)) == set(RIGHTS)


@pytest.mark.parametrize(
    ("found", "right", "text"),
    [
        (access(None, "read"), "write", "folder red/chat is shared with you to read; its files are changed by"),
        (access(None, "write"), "share", "folder red/chat is shared with you; only owners of project red may share it"),
        (access(None, "write"), "manage", "only owners and members of project red may rename or delete it"),
        (
            access("viewer"),
            "write",
            "only owners and members may change things in project red; your role is viewer",
        ),
    ],
)
def test_a_refusal_says_who_may(found: FolderAccess, right: FolderRight, text: str) -> None:
    assert text in refusal(found, right)


def test_a_reference_with_a_slash_names_the_project() -> None:
    assert split_reference("chat", None) == ("chat", None)
    assert split_reference("chat", "blue") == ("chat", "blue")
    assert split_reference("red/chat", "blue") == ("chat", "red")


def test_a_share_says_with_whom_it_is() -> None:
    def share(project: str | None = None, user: str | None = None) -> FolderShare:
        return FolderShare(
            id=FolderShareId(new_uuid()),
            folder_id=FolderId(new_uuid()),
            project_id=None,
            project=project,
            user_id=None,
            user=user,
            all_projects=project is None and user is None,
            permission="read",
            created_by="ann",
            created_at=NOW,
            expires_at=None,
        )

    said = [one.whom for one in (share(project="blue"), share(user="bob"), share())]
    assert said == ["project blue", "user bob", "all projects"]
