"""Tokens of a service or of a project, and the limits of callers."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, ConfigDict, Field, StringConstraints

from headrace.common.contracts.http.page import Body, Change, Changeable, GivenTime
from headrace.common.contracts.ids import TokenId
from headrace.common.contracts.messages.routes import MIN_RATE, RateLimits

_MANY = 1_000_000_000_000
Share = Annotated[int, Field(ge=1, le=1000)]
"""Weight in the queue of a full service: with 2, twice as many queued requests are dispatched as with 1."""


class CallerLimits(RateLimits):
    """Limits of one caller, over all app-proxies: at one service, of a project's token over all services of the project.

    null, or left out, is no limit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    requests_per_second: Annotated[float | None, Field(ge=MIN_RATE, le=1_000_000)] = None
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
    """Changes of a named client. Of `limits` only the named ones change, and null removes a limit."""

    limits: CallerLimits | None = None
    """null removes all."""
    share: Share | None = None
    """null: 1."""


class UpdateToken(UpdateCaller):
    """Changes of a token, which stays valid. Its expiry is signed into it, and fixed."""

    name: TokenName | None = None
    """null: none."""


class TokenView(Changeable):
    """A token without its secret."""

    id: TokenId
    name: str
    created_by: str
    created_at: AwareDatetime
    expires_at: AwareDatetime
    revoked_at: AwareDatetime | None
    limits: RateLimits = RateLimits()
    share: int = 1
    last_used_at: AwareDatetime | None = None
    """End of its last request, but for the last seconds; null: none, or as long ago as usage is not kept."""


class NewToken(TokenView):
    """A new token with its secret, which is only shown here."""

    token: str
