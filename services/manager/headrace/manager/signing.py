"""Cryptography: keys derived from the installation's secret, hashes of API keys, and signatures of tokens."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import jwt
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from headrace.common.contracts.ids import AgentId, ProjectId, ServiceId, TokenId
from headrace.common.contracts.messages.routes import LIMITS_CLAIM, SHARE_CLAIM, RateLimits
from headrace.common.contracts.problems import Unavailable
from headrace.common.contracts.reasons.api import ApiReason

_NONCE_BYTES = 12
_FOLDER_ACCESS = "headrace folder access"


class Vault:
    """Keyed hashes and encryption, under keys derived from the installation's secret (HKDF-SHA256, one per purpose)."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) < 32:
            raise ValueError("the secret key must have at least 32 bytes")
        self._hash_key = _derive(secret, b"headrace api keys v1")
        self._seal = AESGCM(_derive(secret, b"headrace sealed values v1"))

    def hash(self, secret: str) -> bytes:
        """Return the 32-byte hash under which an API key's secret is stored."""
        return hmac.digest(self._hash_key, secret.encode(), hashlib.sha256)

    def matches(self, secret: str, stored: bytes) -> bool:
        """Return whether the secret has this hash, in constant time."""
        return hmac.compare_digest(self.hash(secret), stored)

    def seal(self, value: bytes, *, label: str) -> bytes:
        """Return `value` encrypted and bound to `label` (AES-256-GCM)."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._seal.encrypt(nonce, value, label.encode())

    def open(self, sealed: bytes, *, label: str) -> bytes:
        """Decrypt a sealed value. Raises Unavailable when it was sealed under another installation's secret."""
        try:
            return self._seal.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], label.encode())
        except InvalidTag:
            raise Unavailable(
                "a stored secret cannot be read: the secret key differs from the one it was stored with",
                reason=ApiReason.SECRET_KEY_CHANGED,
            ) from None


class FolderAccessTokens:
    """Tokens by which agents fetch folders from managers: JWT of an agent's id, short-lived, under a key that all managers have."""

    def __init__(self, secret: bytes) -> None:
        self._key = _derive(secret, b"headrace folder access v1")

    def issue(self, agent_id: AgentId, *, issued_at: datetime, lifetime: timedelta) -> str:
        """Return a token for this agent. Secret."""
        issued = int(issued_at.timestamp())
        claims = {"aud": _FOLDER_ACCESS, "sub": agent_id, "iat": issued, "exp": issued + int(lifetime.total_seconds())}
        return jwt.encode(claims, self._key, algorithm="HS256")

    def agent_of(self, token: str, *, now: datetime) -> AgentId | None:
        """Return whose token this is; None when it is none, or has expired."""
        try:
            claims = jwt.decode(
                token,
                self._key,
                algorithms=["HS256"],
                audience=_FOLDER_ACCESS,
                options={"require": ["aud", "sub", "exp"], "verify_exp": False, "verify_iat": False},
            )
        except jwt.InvalidTokenError:
            return None
        ends = claims["exp"]
        return claims["sub"] if isinstance(ends, int) and ends > now.timestamp() else None


def _derive(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret)


def new_client_secret() -> tuple[str, str]:
    """Generate a named client's secret; return (256 random bits as text, their SHA-256 in hex, which is all that is stored).

    The prefix `hrc_` is for secret scanners.
    """
    secret = f"hrc_{secrets.token_urlsafe(32)}"
    return secret, hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True)
class SigningKey:
    """Ed25519 key pair with its id."""

    kid: str
    private: Ed25519PrivateKey

    @classmethod
    def generate(cls) -> SigningKey:
        """Return a new key pair."""
        return cls(secrets.token_hex(8), Ed25519PrivateKey.generate())

    @classmethod
    def load(cls, kid: str, raw: bytes) -> SigningKey:
        """Return the key pair with these 32 bytes as its private part."""
        return cls(kid, Ed25519PrivateKey.from_private_bytes(raw))

    def public_bytes(self) -> bytes:
        """Return the 32 bytes of the public part."""
        return self.private.public_key().public_bytes_raw()

    def token(
        self,
        subject: ServiceId | ProjectId,
        token_id: TokenId,
        *,
        issued_at: datetime,
        expires_at: datetime,
        limits: RateLimits = RateLimits(),  # noqa: B008 - frozen
        share: int = 1,
    ) -> str:
        """Return a signed token (JWT, EdDSA) for one service, or for all services of a project; less than 700 bytes.

        It contains its limits and share where it has any, so that they hold wherever its signature does.
        """
        claims: dict[str, Any] = {
            "iss": "headrace",
            "sub": str(subject),
            "jti": str(token_id),
            "iat": int(issued_at.timestamp()),
            "exp": int(expires_at.timestamp()),
        }
        if bounds := limits.model_dump(exclude_none=True):
            claims[LIMITS_CLAIM] = bounds
        if share != 1:
            claims[SHARE_CLAIM] = share
        return jwt.encode(claims, self.private, algorithm="EdDSA", headers={"kid": self.kid})
