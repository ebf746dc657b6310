"""Views of named clients."""

from __future__ import annotations

from headrace.common.contracts.http.clients import ClientView, NewClient
from headrace.manager.domain.entity_tags import tag_of_client
from headrace.manager.domain.records.clients import Client


def client_view(client: Client) -> ClientView:
    """Return a client without its secret."""
    return ClientView(
        id=client.id,
        name=client.name,
        limits=client.limits,
        share=client.share,
        created_by=client.created_by,
        created_at=client.created_at,
        rotated_at=client.rotated_at,
        last_used_at=client.last_used_at,
        etag=tag_of_client(client),
    )


def new_client_view(client: Client, secret: str) -> NewClient:
    """Return a new client with its secret."""
    return NewClient(**dict(client_view(client)), secret=secret)
