"""Bearer tokens, checked offline: the signature once, everything that can change on every request."""

from __future__ import annotations

import base64
import hashlib
import json
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from headrace.appproxy.domain.access import ISSUER, Claims, Denial, credential, denial
from headrace.appproxy.table import Entry
from headrace.common.contracts.problems import Forbidden, Problem, Unauthenticated

_SCHEMES = ("bearer", "backendai")
_MOST_BYTES = 4096
_WORDS: dict[Denial, str] = {
    "unknown-key": "the token was signed with a key that this installation does not use",
    "expired-token": "the token has expired",
    "other-service": "the token is for another service",
    "revoked-token": "the token was revoked",
}


class TokenGate:
    """Lets a caller through or says why not. Remembers verified signatures (not the tokens), at most `remembered`."""

    def __init__(self, *, remembered: int = 10_000) -> None:
        self._verified: OrderedDict[bytes, Claims] = OrderedDict()
        self._remembered = remembered

    def check(self, entry: Entry, authorization: list[str], now: datetime) -> None:
        """Return if the caller may call the service. Raises Unauthenticated or Forbidden with a `reason`."""
        if entry.table.open_to_public:
            return
        if not authorization:
            raise Unauthenticated("this service needs a token: Authorization: Bearer <token>", reason="missing-token")
        given = credential(authorization)
        if given is None or given[0] not in _SCHEMES or not given[1] or len(given[1]) > _MOST_BYTES:
            raise Unauthenticated("allowed is one Authorization: Bearer <token>", reason="malformed-token")
        claims = self._claims(given[1], entry)
        why = denial(claims, service_id=entry.table.service_id, keys=entry.keys, revoked=entry.revoked, now=now)
        if why is not None:
            kind: type[Problem] = Forbidden if why in ("other-service", "revoked-token") else Unauthenticated
            raise kind(_WORDS[why], reason=why)

    def for_replica(self, authorization: list[str], *, open_to_public: bool) -> str | None:
        """Return the Authorization header that the replica gets: a public service's own credential, never one of our tokens."""
        given = credential(authorization)
        if not open_to_public or given is None or given[0] == "backendai" or _issued_by_us(given[1]):
            return None
        return authorization[0]

    def _claims(self, token: str, entry: Entry) -> Claims:
        name = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        claims = self._verified.get(name)
        if claims is None:
            claims = _verify(token, entry)
            self._verified[name] = claims
            if len(self._verified) > self._remembered:
                self._verified.popitem(last=False)
        return claims


def _verify(token: str, entry: Entry) -> Claims:
    try:
        kid = jwt.get_unverified_header(token).get("kid")
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise Unauthenticated("the token cannot be read", reason="malformed-token") from None
    key = entry.keys.get(kid) if isinstance(kid, str) else None
    if key is None or not isinstance(kid, str):
        raise Unauthenticated(_WORDS["unknown-key"], reason="unknown-key")
    try:
        payload = jwt.decode(
            token,
            Ed25519PublicKey.from_public_bytes(_unpadded(key)),
            algorithms=["EdDSA"],
            issuer=ISSUER,
            options={
                "require": ["exp", "iss", "sub", "jti"],
                "verify_exp": False,  # judged on every request, not only on the first
                "verify_iat": False,
                "verify_nbf": False,
                "verify_aud": False,
            },
        )
        expires_at = datetime.fromtimestamp(float(payload["exp"]), UTC)
        return Claims(UUID(payload["sub"]), UUID(payload["jti"]), expires_at, kid, key)
    except jwt.InvalidSignatureError:
        raise Unauthenticated("the token's signature is wrong", reason="bad-signature") from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, OSError, AttributeError):
        raise Unauthenticated("the token cannot be read", reason="malformed-token") from None


def _issued_by_us(token: str) -> bool:
    parts = token.split(".")
    if len(parts) != 3:
        return False
    try:
        payload: Any = json.loads(_unpadded(parts[1]))
    except (ValueError, RecursionError):  # not JSON, or nested deeper than any token
        return False
    return isinstance(payload, dict) and payload.get("iss") == ISSUER


def _unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
