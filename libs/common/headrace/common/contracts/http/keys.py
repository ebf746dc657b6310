"""API keys of users."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AwareDatetime, Field, StringConstraints

from headrace.common.contracts.http.page import Body, Change, Changeable, GivenTime
from headrace.common.contracts.ids import KeyId, Slug

MAX_PROJECTS: Final = 100
Projects = Annotated[
    tuple[Annotated[str, StringConstraints(min_length=1, max_length=64)], ...],
    Field(min_length=1, max_length=MAX_PROJECTS),
]
"""Names or ids of projects."""


class CreateKey(Body):
    """A new API key for a user (operators: any user; others: themselves).

    A key that expires can only make keys of the same user that expire no later.
    """

    name: Slug = "default"
    expires_at: GivenTime | None = None
    """A minute to ten years away. null, and `expires_in_s` too: never."""
    expires_in_s: Annotated[int | None, Field(ge=60, le=315_360_000)] = None
    """Instead of `expires_at`: from now on."""
    read_only: bool = False
    """It may see what its user may, and change nothing."""
    projects: Projects | None = None
    """It is good for these projects only, in the user's role there, and never with an operator's rights. null: not limited."""


class UpdateKey(Change):
    """Changes of an API key; its secret stays.

    A key that expires can extend keys of the same user, itself included, to its own expiry at most.
    """

    name: Slug | None = None
    """null: default."""
    expires_at: GivenTime | None = None
    """A minute to ten years away. null: never."""
    expires_in_s: Annotated[int | None, Field(ge=60, le=315_360_000)] = None
    """Instead of `expires_at`: from now on. null: never."""
    read_only: bool | None = None
    """null: no."""
    projects: Projects | None = None
    """null: not limited to projects."""


class KeyView(Changeable):
    """An API key without its secret."""

    id: KeyId
    name: str
    created_at: AwareDatetime
    expires_at: AwareDatetime | None
    last_used_at: AwareDatetime | None = None
    """To a minute; null: never, or before there were times of use."""
    read_only: bool = False
    projects: tuple[str, ...] | None = None
    """Names of the projects that it is good for, as far as they exist; null: it is not limited."""


class NewKey(KeyView):
    """A new API key with its secret, which is only shown here."""

    key: str
