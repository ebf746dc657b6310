"""Rights to folders: by the role in the folder's project, and by what is shared.

A share lets others read or write the files. The folder itself (its name, its deletion, its shares) is its project's alone.
"""

from __future__ import annotations

from typing import Literal

from headrace.common.contracts.vocabulary import Role
from headrace.manager.domain import access
from headrace.manager.domain.access import Actor
from headrace.manager.domain.records.folders import FolderAccess

FolderRight = Literal["read", "write", "manage", "share"]
_ROLES: dict[FolderRight, Role] = {"read": "viewer", "write": "member", "manage": "member", "share": "owner"}
_DO: dict[FolderRight, str] = {"manage": "rename or delete", "share": "share"}


def split_reference(reference: str, project: str | None) -> tuple[str, str | None]:
    """Return the folder's name or id, and its project where one is named: `PROJECT/FOLDER`, else `project`."""
    owner, slash, name = reference.partition("/")
    return (name, owner) if slash else (reference, project)


def may(actor: Actor, found: FolderAccess, right: FolderRight) -> bool:
    """Return whether the caller has the right."""
    if access.may(actor, found.role, _ROLES[right]):
        return True
    return right in ("read", "write") and found.permission in (right, "write")


def refusal(found: FolderAccess, right: FolderRight) -> str:
    """Return the error text of a caller who sees the folder, and lacks the right."""
    if found.role is not None:
        return access.refusal(found.project, found.role, _ROLES[right])
    if right in {"share", "manage"}:
        who = "owners" if right == "share" else "owners and members"
        return f"folder {found.name} is shared with you; only {who} of project {found.project} may {_DO[right]} it"
    return (
        f"folder {found.name} is shared with you to read; its files are changed by owners and members of project {found.project}, "
        "and by members of projects that it is shared with to write"
    )
