"""Named clients of a service: applications that call with basic auth."""

from __future__ import annotations

from pydantic import AwareDatetime

from headrace.common.contracts.http.page import Body, Changeable
from headrace.common.contracts.http.tokens import CallerLimits, Share
from headrace.common.contracts.ids import ClientId, Slug
from headrace.common.contracts.messages.routes import RateLimits


class CreateClient(Body):
    """`name` is the user name of basic auth, unique within the service. Without limits the service's `caller_limits` hold."""

    name: Slug
    limits: CallerLimits = CallerLimits()
    share: Share = 1


class ClientView(Changeable):
    """A named client without its secret."""

    id: ClientId
    name: Slug
    limits: RateLimits
    share: int
    created_by: str
    created_at: AwareDatetime
    rotated_at: AwareDatetime | None
    """Time of the last secret rotation, if any."""
    last_used_at: AwareDatetime | None = None
    """End of its last request, but for the last seconds; null: none, or as long ago as usage is not kept."""


class NewClient(ClientView):
    """A new named client with its secret, which is only shown here: `curl -u name:secret`."""

    secret: str
