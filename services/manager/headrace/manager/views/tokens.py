"""Views of tokens."""

from __future__ import annotations

from headrace.common.contracts.http.tokens import NewToken, TokenView
from headrace.manager.domain.entity_tags import tag_of_token
from headrace.manager.domain.records.tokens import Token


def token_view(token: Token) -> TokenView:
    """Return a token's metadata."""
    return TokenView(
        id=token.id,
        name=token.name,
        created_by=token.created_by,
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        limits=token.limits,
        share=token.share,
        last_used_at=token.last_used_at,
        etag=tag_of_token(token),
    )


def new_token_view(token: Token, signed: str) -> NewToken:
    """Return a new token's metadata with the token itself."""
    return NewToken(**dict(token_view(token)), token=signed)
