"""Role-based access control: which role a caller needs for what.

Roles contain each other: an owner may do what a member may, a member what a viewer may.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from headrace.common.contracts.ids import UserId
from headrace.common.contracts.vocabulary import Role

_RANK: dict[Role, int] = {"viewer": 1, "member": 2, "owner": 3}
_MAY: dict[Role, str] = {"viewer": "see", "member": "change things in", "owner": "manage"}


@dataclass(frozen=True)
class Actor:
    """The authenticated caller, and where the request came from (for the audit log)."""

    user_id: UserId
    name: str
    operator: bool
    source_address: str = ""
    key_ends_at: datetime | None = None
    """End of the API key that the caller uses; None: it has none."""


def latest_key_end(actor: Actor, user: UserId, key_ends_at: datetime | None = None) -> datetime | None:
    """Return how far the caller may let an API key of the user last; None: for ever.

    Nobody gets further by a key than it lasts: who found a key that ends cannot make one of it that does not. The keys of
    other users are an operator's to set. `key_ends_at`: what the key has already, which may be later.
    """
    if actor.key_ends_at is None or actor.user_id != user:
        return None
    return actor.key_ends_at if key_ends_at is None else max(actor.key_ends_at, key_ends_at)


def lasts_too_long(expires_in_s: int | None, latest: datetime | None, now: datetime) -> tuple[str, str] | None:
    """Return what was found and what is allowed, if a key would last beyond `latest`; None if it may."""
    if latest is None or (expires_in_s is not None and now + timedelta(seconds=expires_in_s) <= latest):
        return None
    found = "never" if expires_in_s is None else f"{expires_in_s} s"
    left = max(0, int((latest - now).total_seconds()))
    return found, f"at most {left} s (until {latest:%Y-%m-%dT%H:%M:%SZ}), the end of the API key that you use"


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
