"""Credential parser. No part of a credential is ever in an error, a log line or a repr."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Final

from headrace.appproxy.dataplane.auth.access import Denial, split_scheme
from headrace.appproxy.dataplane.headers.identity import SECRET_PREFIXES, holds_credential
from headrace.common.contracts.reasons.proxy import ProxyReason

MAX_BYTES = 4096
"""Longer credentials are not issued here: a token has about 320 bytes."""
MISSING: Final = ProxyReason.MISSING_TOKEN
MALFORMED: Final = ProxyReason.MALFORMED_TOKEN
"""Looked up once: public services accept requests without a credential, or with a foreign one."""


@dataclass(frozen=True, slots=True)
class SignedToken:
    """Token whose signature has not been verified. `digest` is its SHA-256, the key of the signature cache."""

    text: str = field(repr=False)
    digest: bytes = field(repr=False)
    kid: str


@dataclass(frozen=True, slots=True)
class BasicCredentials:
    """Basic-auth credentials; the secret is kept as SHA-256 in hex only."""

    name: str
    digest: str = field(repr=False)
    ours: bool
    """True if the secret has the form of one issued here."""


Credential = SignedToken | BasicCredentials | Denial


def parse_credential(authorization: bytes | None) -> Credential:
    """Return the credential in the header, or why it is unusable. Work is bounded by MAX_BYTES."""
    if authorization is None:
        return MISSING
    scheme, rest = split_scheme(_text(authorization))
    if not rest or len(rest) > MAX_BYTES:
        return MALFORMED
    if scheme in ("bearer", "backendai"):
        return _signed(rest)
    return _name_and_secret(rest) if scheme == "basic" else MALFORMED


def forwardable(authorization: bytes | None, credential: Credential) -> bytes | None:
    """Return the header if it may be forwarded to a public service's replica, else None.

    The replica may have credentials of its own, but gets none of this installation, in whatever form. `shown`: the
    header's parsed credential (`parse_credential`).
    """
    if authorization is None:
        return None
    scheme, _ = split_scheme(text := _text(authorization))
    ours = isinstance(credential, BasicCredentials) and credential.ours
    return None if ours or scheme == "backendai" or any(map(_is_issued_here, text.split())) else authorization


def _text(authorization: bytes) -> str:
    return authorization[: MAX_BYTES + 64].decode("latin-1")


def _signed(text: str) -> SignedToken | Denial:
    head = _json(text.partition(".")[0])
    if head is None or text.count(".") != 2:
        return MALFORMED
    kid = head.get("kid")
    return SignedToken(text, hashlib.sha256(text.encode("latin-1")).digest(), kid if isinstance(kid, str) else "")


def _name_and_secret(text: str) -> BasicCredentials | Denial:
    try:
        plain = base64.b64decode(text, validate=True)
    except ValueError:
        plain = b""
    name, colon, secret = plain.partition(b":")  # RFC 7617: the first colon ends the name
    if not colon:
        return MALFORMED
    ours = _is_issued_here(secret.decode("latin-1")) or _is_issued_here(name.decode("latin-1"))
    return BasicCredentials(name.decode("latin-1"), hashlib.sha256(secret).hexdigest(), ours)


def _is_issued_here(text: str) -> bool:
    """Return True for an API key, client secret or token of this installation, valid or not."""
    credential = text.encode("latin-1")
    return credential.startswith(SECRET_PREFIXES) or holds_credential(credential)


def _json(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(unpadded(text))
    except (ValueError, RecursionError):  # not base64, not JSON, or nested deeper than any token
        return None
    return found if isinstance(found, dict) else None


def unpadded(text: str) -> bytes:
    """Decode base64url without padding. Raises ValueError."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
