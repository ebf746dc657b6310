"""Views of API keys."""

from __future__ import annotations

from headrace.common.contracts.http.keys import KeyView, NewKey
from headrace.manager.domain.entity_tags import tag_of_key
from headrace.manager.domain.records.keys import Key


def key_view(key: Key) -> KeyView:
    """Return a key without its secret."""
    return KeyView(
        id=key.id,
        name=key.name,
        created_at=key.created_at,
        expires_at=key.expires_at,
        last_used_at=key.last_used_at,
        read_only=key.read_only,
        projects=key.projects,
        etag=tag_of_key(key),
    )


def new_key_view(key: Key, secret: str) -> NewKey:
    """Return a new key with its secret."""
    return NewKey(**dict(key_view(key)), key=secret)
