"""Users."""

from __future__ import annotations

from pydantic import AwareDatetime

from headrace.common.contracts.http.page import Body, Change, Changeable
from headrace.common.contracts.ids import Slug, UserId


class CreateUser(Body):
    """A person or program. Only operators create users."""

    name: Slug
    operator: bool = False


class UpdateUser(Change):
    """Changes of a user. The name appears in histories, and is fixed. Only operators change users."""

    operator: bool | None = None
    """null: no operator. The last operator that is not disabled cannot be demoted."""
    disabled: bool | None = None
    """Refuses the user's keys and ends the logins, from the next request on; what the user owns stays. null: not disabled. The last
    operator cannot be disabled."""


class UserView(Changeable):
    """A user."""

    id: UserId
    name: str
    operator: bool
    has_password: bool = False
    """Whether the user can log in by name and password."""
    disabled: bool = False
    """Whether the user's keys, password and logins are refused."""
    disabled_at: AwareDatetime | None = None
    created_at: AwareDatetime
