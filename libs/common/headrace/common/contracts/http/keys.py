"""API keys of users."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field

from headrace.common.contracts.http.page import Body, Change, View
from headrace.common.contracts.ids import KeyId, Slug


class CreateKey(Body):
    """A new API key for a user (operators: any user; others: themselves). With a key that ends, one makes keys for oneself that
    end no later."""

    name: Slug = "default"
    expires_in_s: Annotated[int | None, Field(ge=60, le=315_360_000)] = None


class UpdateKey(Change):
    """What to change of an API key; the key itself stays. With a key that ends, one extends keys of one's own, itself too, to
    its end at most."""

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
    """The only time the secret is shown."""

    key: str
