"""Tokens of a service."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, Field, StringConstraints

from headrace.common.contracts.http.page import Body, View
from headrace.common.contracts.ids import TokenId


class CreateToken(Body):
    """Exactly one of `expires_at` and `expires_in_s`; default is 30 days."""

    name: Annotated[str, StringConstraints(max_length=100)] = ""
    expires_at: AwareDatetime | None = None
    expires_in_s: Annotated[int | None, Field(ge=1, le=315_360_000)] = None


class TokenView(View):
    """A token without its secret."""

    id: TokenId
    name: str
    created_by: str
    created_at: AwareDatetime
    expires_at: AwareDatetime
    revoked_at: AwareDatetime | None


class NewToken(TokenView):
    """The only time the token itself is shown."""

    token: str
