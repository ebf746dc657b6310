"""Views of revocations: progress at the app-proxies."""

from __future__ import annotations

from uuid import UUID

from headrace.common.contracts.http.revocations import NotInForce, RevocationView
from headrace.manager.domain.in_force import Propagation


def revocation_view(credential_id: UUID, found: Propagation) -> RevocationView:
    """Return the app-proxies that refuse the token or client, and those that lag."""
    return RevocationView(
        id=credential_id,
        in_force=found.in_force,
        applied=found.applied,
        missing=tuple(
            NotInForce(proxy_id=one.proxy_id, heard_s=one.heard_s, reason=one.reason) for one in found.missing
        ),
        reason=found.reason,
    )
