"""Tokens of a service or of a project, and the limits of callers."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints

from headrace.common.contracts.http.page import Body, Change, GivenTime, View
from headrace.common.contracts.ids import ProxyId, TokenId
from headrace.common.contracts.messages.routes import LEAST_RATE, RateLimits
from headrace.common.contracts.reasons import Reason, said_of

_MANY = 1_000_000_000_000
Share = Annotated[int, Field(ge=1, le=1000)]
"""Weight in the queue of a service that is full: with 2, twice as many waiting requests go ahead as with 1."""


class CallerLimits(RateLimits):
    """Bounds of one caller at one service, over all app-proxies. None, or left out, is no bound."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    requests_per_second: Annotated[float | None, Field(ge=LEAST_RATE, le=1_000_000)] = None
    in_flight: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    tokens_per_minute: Annotated[int | None, Field(ge=1, le=_MANY)] = None
    tokens_per_day: Annotated[int | None, Field(ge=1, le=_MANY)] = None


TokenName = Annotated[str, StringConstraints(max_length=100)]


class CreateToken(Body):
    """Exactly one of `expires_at` and `expires_in_s`; default is 30 days. Without limits the service's `caller_limits` hold."""

    name: TokenName = ""
    expires_at: GivenTime | None = None
    expires_in_s: Annotated[int | None, Field(ge=1, le=315_360_000)] = None
    limits: CallerLimits = CallerLimits()
    share: Share = 1


class UpdateCaller(Change):
    """What to change of a named client. Of `limits` what is named is changed, and null takes a limit away."""

    limits: CallerLimits | None = None
    """null takes all away."""
    share: Share | None = None
    """null: 1."""


class UpdateToken(UpdateCaller):
    """What to change of a token, which stays valid as it is. When it expires is signed into it, and fixed."""

    name: TokenName | None = None
    """null: none."""


class TokenView(View):
    """A token without its secret."""

    id: TokenId
    name: str
    created_by: str
    created_at: AwareDatetime
    expires_at: AwareDatetime
    revoked_at: AwareDatetime | None
    limits: RateLimits = RateLimits()
    share: int = 1


class NewToken(TokenView):
    """The only time the token itself is shown."""

    token: str


class NotInForce(View):
    """An app-proxy that is not known to refuse what was revoked."""

    proxy_id: ProxyId
    heard_s: float
    """How long ago its last report came, in seconds."""
    reason: Annotated[Reason, said_of("revocation")]
    """`app-proxy-behind`: it lacks the tables that say so. `app-proxy-away`: it has not reported for a while, and may serve all the same."""


class RevocationView(View):
    """Where a token or a client that was revoked, or a client's old secret, is refused. App-proxies that were heard of in the last ten
    minutes count."""

    id: UUID
    """The token's or the client's."""
    in_force: bool | None
    """Whether every app-proxy refuses it, of which there is at least one. None where that is not followed any more, a day after."""
    applied: tuple[ProxyId, ...] = ()
    """The app-proxies that refuse it, by the generations of route tables that they report; at most 100."""
    missing: tuple[NotInForce, ...] = ()
    """Those that are not known to; at most 100."""
    reason: Annotated[Reason, said_of("revocation")]
