"""Role-based access control: which role a caller needs for what.

Roles contain each other: an owner may do what a member may, a member what a viewer may.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import KeyId, LoginId, ProjectId, UserId
from headrace.common.contracts.vocabulary import Role
from headrace.manager.domain.idempotency import IdempotencyKey

_RANK: dict[Role, int] = {"viewer": 1, "member": 2, "owner": 3}
_MAY: dict[Role, str] = {"viewer": "see", "member": "change things in", "owner": "manage"}


@dataclass(frozen=True)
class Actor:
    """Authenticated caller, with what the audit log keeps of the request: its address, and why it was made."""

    user_id: UserId
    name: str
    operator: bool
    source_address: str = ""
    message: str = ""
    """Why, as the caller says; empty: the caller says nothing."""
    key_ends_at: datetime | None = None
    """Expiry of the API key that the caller uses, or that the login came from; None: it has none."""
    key_id: KeyId | None = None
    """That key; None: the user logged in by password."""
    login_id: LoginId | None = None
    """Login that the caller uses; None: an API key."""
    read_only: bool = False
    """Whether the key may only read."""
    projects: tuple[ProjectId, ...] | None = None
    """Projects that the key is limited to; None: it is not. A key with such a limit has no operator's rights."""
    idempotency: IdempotencyKey | None = None
    """Idempotency key of the request, a creation."""
    if_match: frozenset[str] | None = None
    """Entity tags of which the thing that the request changes must have one; None: any will do."""

    @property
    def limited(self) -> bool:
        """Return whether the key may less than its user."""
        return self.read_only or self.projects is not None


def latest_key_end(actor: Actor, user: UserId, key_ends_at: datetime | None = None) -> datetime | None:
    """Return the latest expiry that the caller may give an API key of `user`; None: unlimited.

    A key cannot make one that outlives it, so that a leaked key that expires cannot be replaced by one that does not.
    Operators may set the keys of other users. `key_ends_at`: the present expiry of the key, which may be later.
    """
    if actor.key_ends_at is None or actor.user_id != user:
        return None
    return actor.key_ends_at if key_ends_at is None else max(actor.key_ends_at, key_ends_at)


def lasts_too_long(ends_at: datetime | None, latest: datetime | None, now: datetime) -> tuple[str, str] | None:
    """Return (found, allowed) if a key would expire after `latest`; None if it may."""
    if latest is None or (ends_at is not None and ends_at <= latest):
        return None
    found = "never" if ends_at is None else f"{math.ceil((ends_at - now).total_seconds())} s"
    left = max(0, int((latest - now).total_seconds()))
    return found, f"at most {left} s (until {latest:%Y-%m-%dT%H:%M:%SZ}), the end of the API key that you use"


def write_refusal(actor: Actor) -> str | None:
    """Return why the caller may change nothing; None if it may, as far as its role allows."""
    return "the API key that you use may only read" if actor.read_only else None


def sees(actor: Actor, role: Role | None) -> bool:
    """Return whether the caller may know that the project exists."""
    return actor.operator or role is not None


def may(actor: Actor, role: Role | None, needed: Role) -> bool:
    """Return whether the caller with `role` in a project has the rights of `needed`."""
    return actor.operator or (role is not None and _RANK[role] >= _RANK[needed])


def refusal(project: str, role: Role | None, needed: Role) -> str:
    """Return the error text of a caller whose role is not enough."""
    return f"only {_who(needed)} may {_MAY[needed]} project {project}; your role is {role}"


def _who(needed: Role) -> str:
    return {"viewer": "members", "member": "owners and members", "owner": "owners"}[needed]
