"""Revocations of tokens and named clients, and how far each has come."""

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
    """How long ago its last report came, in seconds."""
    reason: Annotated[Reason, said_of("revocation")]
    """`app-proxy-behind`: it lacks the tables that say so. `app-proxy-away`: it has not reported for a while, and may serve all the same."""


class RevocationView(View):
    """App-proxies at which a revoked token or client, or a rotated secret, is refused.

    App-proxies that reported in the last ten minutes count.
    """

    id: UUID
    """The token's or the client's."""
    in_force: bool | None
    """Whether every app-proxy refuses it, of which there is at least one. None where that is not followed any more, a day after."""
    applied: tuple[ProxyId, ...] = ()
    """The app-proxies that refuse it, by the generations of route tables that they report; at most 100."""
    missing: tuple[NotInForce, ...] = ()
    """Those that are not known to; at most 100."""
    reason: Annotated[Reason, said_of("revocation")]
