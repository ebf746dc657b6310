"""Who may do what. Roles contain each other: an owner may do what a member may, a member what a viewer may."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.common.contracts.http.projects import Role
from headrace.common.contracts.ids import UserId

_RANK: dict[Role, int] = {"viewer": 1, "member": 2, "owner": 3}
_MAY: dict[Role, str] = {"viewer": "see", "member": "change things in", "owner": "manage"}


@dataclass(frozen=True)
class Actor:
    """The authenticated caller, and where the request came from (for the audit log)."""

    user_id: UserId
    name: str
    operator: bool
    source_address: str = ""


def sees(actor: Actor, role: Role | None) -> bool:
    """Whether the caller may know that the project exists."""
    return actor.operator or role is not None


def may(actor: Actor, role: Role | None, needed: Role) -> bool:
    """Whether the caller, having `role` in a project, may do what needs `needed`."""
    return actor.operator or (role is not None and _RANK[role] >= _RANK[needed])


def refusal(project: str, role: Role | None, needed: Role) -> str:
    """Return why not, in words."""
    return f"only {_who(needed)} may {_MAY[needed]} project {project}; your role is {role}"


def _who(needed: Role) -> str:
    return {"viewer": "members", "member": "owners and members", "owner": "owners"}[needed]
