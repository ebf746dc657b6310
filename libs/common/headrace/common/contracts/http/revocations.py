"""Revocations of tokens and named clients, and where they are in force."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from headrace.common.contracts.http.page import View
from headrace.common.contracts.ids import ProxyId
from headrace.common.contracts.reasons import Reason, said_of


class NotInForce(View):
    """An app-proxy that may still accept what was revoked."""

    proxy_id: ProxyId
    heard_s: float
    """Age of its last report, in seconds."""
    reason: Annotated[Reason, said_of("revocation")]
    """`app-proxy-behind`: it has not applied the tables with the revocation. `app-proxy-away`: it has not reported for
    a while, and may still serve."""


class RevocationView(View):
    """App-proxies at which a revoked token or client, or a rotated secret, is refused.

    App-proxies that reported in the last ten minutes count.
    """

    id: UUID
    """Id of the token or client."""
    in_force: bool | None
    """True if every app-proxy refuses it, and there is at least one. None once it is not tracked any more, a day
    after."""
    applied: tuple[ProxyId, ...] = ()
    """App-proxies that refuse it, by the table generations that they report; at most 100."""
    missing: tuple[NotInForce, ...] = ()
    """App-proxies that are not known to refuse it; at most 100."""
    reason: Annotated[Reason, said_of("revocation")]
