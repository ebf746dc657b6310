"""`headrace folder share` and its like: with whom a folder is shared, and invitations."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.fakes.manager_api import NOW, FakeManagerApi, uid
from tests.support.worlds.cli import Cli

SHARE: dict[str, Any] = {
    "id": uid(7),
    "folder_id": uid(5),
    "project": "blue",
    "project_id": uid(3),
    "user": None,
    "all_projects": False,
    "permission": "read",
    "created_by": "ann",
    "created_at": NOW,
    "expires_at": None,
}
INVITED = {**SHARE, "id": uid(8), "project": None, "project_id": None, "user": "bob", "expires_at": NOW}
FOLDER: dict[str, Any] = {
    "id": uid(5),
    "name": "chat",
    "project_id": uid(2),
    "project": "red",
    "usage_mode": "model",
    "created_at": NOW,
    "size_bytes": 2048,
    "files": 3,
    "permission": "read",
    "shared_to_caller": True,
}
INVITATION = {
    "id": uid(8),
    "folder": "red/chat",
    "folder_id": uid(5),
    "usage_mode": "model",
    "permission": "write",
    "created_by": "ann",
    "created_at": NOW,
    "expires_at": NOW,
}


def test_a_folder_is_shared_with_one_of_three(cli: Cli, there: FakeManagerApi) -> None:
    there.on("POST", "/v1/folders/chat/shares", SHARE, status=201)
    assert cli("folder", "share", "chat", "--with", "blue").out == "shared chat with project blue, to read\n"
    assert there.bodies[-1]["project"] == "blue"
    assert cli("--json", "folder", "share", "chat", "--with", "blue", "--write").json["project"] == "blue"
    assert there.bodies[-1]["permission"] == "write"
    there.on("POST", "/v1/folders/chat/shares", INVITED, status=201)
    assert "invited bob to chat, to read; the invitation ends" in cli("folder", "share", "chat", "--user", "bob").out
    for wrong in ((), ("--with", "blue", "--all")):
        ran = cli("folder", "share", "chat", *wrong)
        assert (ran.code, "allowed: one of --with, --user and --all" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("whom", "share"), [(("--with", "blue"), uid(7)), (("--user", "bob"), uid(8)), (("--with", uid(3)), uid(7))]
)
def test_a_share_is_ended_by_whom_it_is_with(cli: Cli, there: FakeManagerApi, whom: Any, share: str) -> None:
    there.on("GET", "/v1/folders/chat/shares", {"items": [SHARE, INVITED]})
    there.on("DELETE", f"/v1/folders/chat/shares/{share}", None, status=204)
    listed = cli("folder", "shares", "chat").out
    assert all(text in listed for text in ("project blue", "user bob", "invited", "shared")), listed
    assert cli("--json", "folder", "unshare", "chat", *whom).json == {"ended": share}
    ran = cli("folder", "unshare", "chat", "--all")
    assert ran.code == 1
    assert "chat is not shared with all projects" in ran.err


def test_an_invitation_is_named_by_its_folder(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/folder-invitations", {"items": [INVITATION]})
    there.on("POST", f"/v1/folder-invitations/{uid(8)}/accept", FOLDER)
    there.on("DELETE", f"/v1/folder-invitations/{uid(8)}", None, status=204)
    assert all(text in cli("folder", "invitations").out for text in ("red/chat", "write", "ann"))
    ran = cli("folder", "accept", "red/chat", "--project", "blue")
    assert ran.out == "red/chat is shared with your project, to read\n"
    assert there.bodies[-1] == {"project": "blue"}
    assert cli("folder", "decline", uid(8)).code == 0
    ran = cli("folder", "decline", "red/other")
    assert (ran.code, "you are not invited to red/other" in ran.err) == (1, True)


def test_a_shared_folder_is_named_by_its_project(cli: Cli, there: FakeManagerApi) -> None:
    there.on("GET", "/v1/folders", {"items": [FOLDER]})
    listed = cli("folder", "ls", "--shared").out
    assert "red/chat" in listed
    assert there.seen[-1][1].endswith("shared=true")
    used = {**FOLDER, "used_by": [{"service": "talk", "project": "blue"}], "used_by_count": 3}
    there.on("GET", "/v1/folders/red/chat", used)
    shown = cli("folder", "show", "red/chat").out
    assert there.seen[-1][1] == "/v1/folders/red%2Fchat"
    assert all(text in shown for text in ("red", "2 KiB in 3 files", "to read", "talk of blue, 2 more")), shown
