"""Access decision: a verified token's claims against a service's route table. Pure."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard, get_args
from uuid import UUID

from headrace.common.contracts.messages.routes import LIMITS_CLAIM, SHARE_CLAIM, RateLimits, RouteTable, TokenLimits
from headrace.common.contracts.reasons.proxy import ProxyReason

Denial = Literal[
    ProxyReason.MISSING_TOKEN,
    ProxyReason.MALFORMED_TOKEN,
    ProxyReason.UNKNOWN_KEY,
    ProxyReason.BAD_SIGNATURE,
    ProxyReason.EXPIRED_TOKEN,
    ProxyReason.OTHER_SERVICE,
    ProxyReason.REVOKED_TOKEN,
    ProxyReason.WRONG_SECRET,
]
DENIALS: frozenset[str] = frozenset(get_args(Denial))


def is_denial(reason: ProxyReason) -> TypeGuard[Denial]:
    """Return True if this reason denies access to a caller."""
    return reason in DENIALS


_NO_LIMITS = RateLimits()


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims of a verified token. `key` is the public key that verified its signature."""

    subject: UUID
    """Service id, or a project id, which stands for all its services."""
    token_id: UUID
    expires_s: float
    """Seconds since the epoch."""
    kid: str
    key: str
    terms: TokenLimits | None = None
    """Limits and share in the token itself; those in a table override them."""


def split_scheme(authorization: str) -> tuple[str, str]:
    """Return (scheme in lower case, the rest) of an Authorization header (RFC 9110, 11.6.2)."""
    scheme, _, rest = authorization.strip().partition(" ")
    return scheme.lower(), rest.strip()


def denial(
    claims: Claims,
    *,
    service_id: UUID,
    project_id: UUID,
    keys: Mapping[str, str],
    revoked: Container[UUID],
    now_s: float,
) -> Denial | None:
    """Return why `claims` do not grant access to the service at `now_s`, or None if they do."""
    if keys.get(claims.kid) != claims.key:
        return ProxyReason.UNKNOWN_KEY
    if claims.expires_s <= now_s:
        return ProxyReason.EXPIRED_TOKEN
    if claims.subject not in (service_id, project_id):
        return ProxyReason.OTHER_SERVICE
    if claims.token_id in revoked:
        return ProxyReason.REVOKED_TOKEN
    return None


def token_terms(token_id: UUID, payload: Mapping[str, Any]) -> TokenLimits | None:
    """Return the limits and the queue share in a token's claims, None where it has none. Raises ValueError."""
    said = {name: payload[name] for name in (LIMITS_CLAIM, SHARE_CLAIM) if name in payload}
    return TokenLimits.model_validate({"token_id": token_id, **said}) if said else None


def revokes_access(before: RouteTable, after: RouteTable) -> bool:
    """Return True if a new table revokes access that the old one granted to some caller.

    That is: a token or client was revoked, a client's secret was rotated, a signing key was retired, or the service is
    no longer public.
    """
    return (
        (before.open_to_public and not after.open_to_public)
        or not {one.token_id for one in after.revocations} <= {one.token_id for one in before.revocations}
        or not {(key.kid, key.public_key) for key in before.token_keys}
        <= {(key.kid, key.public_key) for key in after.token_keys}
        or not {(one.name, one.secret_sha256) for one in before.clients}
        <= {(one.name, one.secret_sha256) for one in after.clients}
    )


def counts_tokens(limits: RateLimits | None) -> bool:
    """Return whether it matters to these limits how many tokens a request costs."""
    return limits is not None and (limits.tokens_per_minute is not None or limits.tokens_per_day is not None)


def effective_limits(own: RateLimits | None, others: RateLimits) -> RateLimits | None:
    """Return the caller's own limits, else the service's default for callers without any; None if nothing is limited."""
    for limits in (own, others):
        if limits is not None and limits != _NO_LIMITS:
            return limits
    return None
