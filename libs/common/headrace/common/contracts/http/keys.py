"""API keys of users."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field

from headrace.common.contracts.http.page import Body, Change, View
from headrace.common.contracts.ids import KeyId, Slug


class CreateKey(Body):
    """A new API key for a user (operators: any user; others: themselves).

    A key that expires can only make keys of the same user that expire no later.
    """

    name: Slug = "default"
    expires_in_s: Annotated[int | None, Field(ge=60, le=315_360_000)] = None


class UpdateKey(Change):
    """Changes of an API key; its secret stays.

    A key that expires can extend keys of the same user, itself included, to its own expiry at most.
    """

    name: Slug | None = None
    """null: default."""
    expires_in_s: Annotated[int | None, Field(ge=60, le=315_360_000)] = None
    """From now on. null: never."""


class KeyView(View):
    """An API key without its secret."""

    id: KeyId
    name: str
    created_at: AwareDatetime
    expires_at: AwareDatetime | None


class NewKey(KeyView):
    """A new API key with its secret, which is only shown here."""

    key: str
