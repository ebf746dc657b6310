"""Views of join tokens and identities."""

from __future__ import annotations

from headrace.common.contracts.http.joining import BusIdentityView, JoinTokenView
from headrace.manager.domain.records.joining import BusIdentity, JoinToken


def join_token_view(token: JoinToken) -> JoinTokenView:
    """Return a join token without its secret."""
    return JoinTokenView(
        id=token.id,
        kind=token.kind,
        resource_group=token.resource_group,
        labels=dict(token.labels),
        uses=token.uses,
        used=token.used,
        created_at=token.created_at,
        created_by=token.created_by,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
    )


def identity_view(identity: BusIdentity) -> BusIdentityView:
    """Return an identity on the bus."""
    return BusIdentityView(
        name=identity.name,
        kind=identity.kind,
        public_key=identity.public_key,
        joined_at=identity.joined_at,
        issued_at=identity.issued_at,
        expires_at=identity.expires_at,
        revoked_at=identity.revoked_at,
        revoked_by=identity.revoked_by,
        revoked_reason=identity.revoked_reason,
    )
