"""Who may call: a token's claims against a service's table."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

ISSUER = "headrace"
Denial = Literal["unknown-key", "expired-token", "other-service", "revoked-token"]


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. `key` is the public key that its signature held under."""

    service_id: UUID
    token_id: UUID
    expires_at: datetime
    kid: str
    key: str


def credential(values: list[str]) -> tuple[str, str] | None:
    """Return (scheme in lower case, the rest) of the one Authorization header, or None where there is none or no single one."""
    if len(values) != 1:
        return None
    scheme, _, rest = values[0].strip().partition(" ")
    return scheme.lower(), rest.strip()


def denial(
    claims: Claims, *, service_id: UUID, keys: Mapping[str, str], revoked: Container[UUID], now: datetime
) -> Denial | None:
    """Return why `claims` do not open the service at `now`, or None if they do. Looked at on every request."""
    if keys.get(claims.kid) != claims.key:
        return "unknown-key"
    if claims.expires_at <= now:
        return "expired-token"
    if claims.service_id != service_id:
        return "other-service"
    if claims.token_id in revoked:
        return "revoked-token"
    return None
