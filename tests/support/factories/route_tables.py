"""Route tables for tests."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from headrace.common.contracts.ids import ProjectId, RevisionId, ServiceId, SessionId, new_uuid
from headrace.common.contracts.messages.routes import Route, RouteTable, TokenKey

PROJECT = ProjectId(UUID(int=1))
REVISION = RevisionId(UUID(int=2))


def route(number: int = 1, *, host: str = "127.0.0.1", port: int = 9, health: str = "healthy", **more: object) -> Route:
    """Return a healthy route whose session id is `number`."""
    known = {
        "session_id": SessionId(UUID(int=number)),
        "revision_id": REVISION,
        "host": host,
        "port": port,
        "health": health,
    }
    return Route.model_validate(known | more)


def table(name: str = "chat", *, generation: int = 1, routes: tuple[Route, ...] = (), **more: object) -> RouteTable:
    """Return a route table, by default of a public service."""
    known = {
        "service_id": ServiceId(new_uuid()),
        "generation": generation,
        "name": name,
        "project_id": PROJECT,
        "open_to_public": True,
        "wanted": len(routes),
        "routes": routes,
    }
    return RouteTable.model_validate(known | more)


class Signer:
    """Signing key of an installation."""

    def __init__(self, kid: str = "k1") -> None:
        self.kid = kid
        self._key = Ed25519PrivateKey.generate()

    @property
    def public(self) -> TokenKey:
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return TokenKey(kid=self.kid, public_key=base64.urlsafe_b64encode(raw).decode().rstrip("="))

    def token(
        self, service_id: UUID, *, token_id: UUID | None = None, lasts: timedelta = timedelta(hours=1), **more: object
    ) -> str:
        """Return a signed token; `more` overrides claims (None removes one)."""
        now = datetime.now(UTC)
        claims = {
            "iss": "headrace",
            "sub": str(service_id),
            "jti": str(token_id or new_uuid()),
            "iat": int(now.timestamp()),
            "exp": (now + lasts).timestamp(),
        } | more
        kept = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(kept, self._key, algorithm="EdDSA", headers={"kid": self.kid})
