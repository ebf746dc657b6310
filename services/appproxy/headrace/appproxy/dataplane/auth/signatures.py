"""Verifier of token signatures (JWT, EdDSA; RFC 8037), with a cache over all services and tables."""

from __future__ import annotations

from collections import OrderedDict
from uuid import UUID

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from headrace.appproxy.dataplane.auth.access import Claims, Denial, token_terms
from headrace.appproxy.dataplane.auth.credentials import SignedToken, unpadded
from headrace.appproxy.dataplane.headers.identity import ISSUER
from headrace.common.contracts.reasons.proxy import ProxyReason

MAX_REFUSED = 1000
_LATEST_S = 253_402_300_800.0
"""The year 10000: nothing expires later."""


class SignatureVerifier:
    """Token signature verifier with a cache, shared by all services and tables.

    It caches the claims of at most `remembered` verified tokens by their hashes (never the tokens), and some refused
    ones. A verification costs about 75 µs, a cached one a look-up. What can change (expiry, revocation, active keys) is
    checked by the caller.
    """

    def __init__(self, *, remembered: int) -> None:
        self._verified: OrderedDict[bytes, Claims] = OrderedDict()
        self._refused: OrderedDict[tuple[bytes, str], Denial] = OrderedDict()
        self._remembered = remembered

    def claims(self, token: SignedToken, key: str | None) -> Claims | Denial:
        """Return the token's claims, or why it is invalid. `key`: the public key with its `kid`, None if unknown."""
        known = self._verified.get(token.digest)
        if known is not None:
            return known
        if key is None:
            return ProxyReason.UNKNOWN_KEY
        refused = self._refused.get((token.digest, key))
        if refused is not None:
            return refused
        found = verify(token, key)
        if isinstance(found, Claims):
            self._verified[token.digest] = found
            if len(self._verified) > self._remembered:
                self._verified.popitem(last=False)
        else:
            self._refused[token.digest, key] = found
            if len(self._refused) > MAX_REFUSED:
                self._refused.popitem(last=False)
        return found

    def __len__(self) -> int:
        return len(self._verified)


def verify(token: SignedToken, key: str) -> Claims | Denial:
    """Verify the signature and parse the claims, without a cache."""
    try:
        payload = jwt.decode(
            token.text,
            Ed25519PublicKey.from_public_bytes(unpadded(key)),
            algorithms=["EdDSA"],
            issuer=ISSUER,
            options={
                "require": ["exp", "iss", "sub", "jti"],
                "verify_exp": False,  # checked on every request, not only on the first
                "verify_iat": False,
                "verify_nbf": False,
                "verify_aud": False,
            },
        )
        expires_s = float(payload["exp"])
        token_id = UUID(payload["jti"])
        claims = Claims(UUID(payload["sub"]), token_id, expires_s, token.kid, key, token_terms(token_id, payload))
    except jwt.InvalidSignatureError:
        return ProxyReason.BAD_SIGNATURE
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError, AttributeError):
        return ProxyReason.MALFORMED_TOKEN
    return claims if 0 <= expires_s < _LATEST_S else ProxyReason.MALFORMED_TOKEN  # also refuses NaN
