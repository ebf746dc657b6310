"""Signed identities of NATS (decentralised JWT): keys (nkeys), claims of operator, accounts and users.

The server trusts the operator's public key, and verifies all others offline: an account's claims are signed by the operator, a
user's by its account. So a user is made without the server, and connects while everything else is away. What a user may do is in
its claims, from the same table as for users with passwords (`permissions`).

Formats: github.com/nats-io/jwt (version 2).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import nkeys
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from headrace.common.bus.credentials import claims_of
from headrace.common.bus.permissions import Account, AccountExport, BusUser, permissions

KeyKind = Literal["operator", "account", "user"]

_PREFIXES: Final = {
    "operator": nkeys.PREFIX_BYTE_OPERATOR,
    "account": nkeys.PREFIX_BYTE_ACCOUNT,
    "user": nkeys.PREFIX_BYTE_USER,
}
CLAIMS_UPDATE: Final = "$SYS.REQ.CLAIMS.UPDATE"
CLAIMS_LOOKUP: Final = "$SYS.REQ.ACCOUNT.{}.CLAIMS.LOOKUP"
"""Subjects by which the system account replaces and reads an account's claims."""
_UNLIMITED: Final = -1
_ANSWERS: Final = {"max": 1, "ttl": 120_000_000_000}
"""As the server's `allow_responses: true`: one answer to each request, within two minutes."""


def new_seed(kind: KeyKind) -> str:
    """Generate a key pair and return its seed, which is secret."""
    return bytes(nkeys.encode_seed(os.urandom(32), _PREFIXES[kind])).decode("ascii")


def public_key(seed: str) -> str:
    """Return the public key of a seed: the name by which NATS knows operator, account or user."""
    return bytes(nkeys.from_seed(bytearray(seed, "ascii")).public_key).decode("ascii")


@dataclass(frozen=True, slots=True)
class AccountKeys:
    """Identity of an account, and the key that signs its users. Managers are given the second, and never the first."""

    public: str
    signing_public: str


def operator_token(
    seed: str, *, name: str, system_account: str, issued_at: int, signing_keys: Sequence[str] = ()
) -> str:
    """Return the operator's own claims, signed by itself. `signing_keys`: public keys that sign accounts' claims besides it."""
    claims: dict[str, Any] = {"type": "operator", "system_account": system_account}
    if signing_keys:
        claims["signing_keys"] = list(signing_keys)
    return _token(seed, name, public_key(seed), claims, issued_at=issued_at)


def account_token(
    operator_seed: str,
    *,
    name: str,
    keys: AccountKeys,
    issued_at: int,
    shares: Account | None = None,
    accounts: Mapping[str, str] | None = None,
    jetstream: bool = False,
    revoked: Mapping[str, int] | None = None,
) -> str:
    """Return an account's claims, signed by the operator.

    `shares`: what passes between it and another one; `accounts`: their public keys by name. `revoked`: public key of a user →
    moment; credentials issued until then are refused, and the server ends their connections.
    """
    stored = _UNLIMITED if jetstream else 0
    claims: dict[str, Any] = {
        "type": "account",
        "limits": {
            **dict.fromkeys(("subs", "data", "payload", "imports", "exports", "conn", "leaf"), _UNLIMITED),
            "wildcards": True,
            **dict.fromkeys(("disk_storage", "streams", "consumer"), stored),
            "mem_storage": 0,
        },
        "signing_keys": [keys.signing_public],
        "default_permissions": {"pub": {}, "sub": {}},
        "authorization": {},
    }
    if shares is not None:
        theirs = (accounts or {})[shares.other]
        claims["exports"] = [_export(export) for export in shares.exports]
        claims["imports"] = [
            {"name": export.subject, "subject": export.subject, "account": theirs, "type": export.kind}
            for export in shares.imports
        ]
    if revoked:
        claims["revocations"] = dict(revoked)
    return _token(operator_seed, name, keys.public, claims, issued_at=issued_at)


def revised_account_token(installed: str, signing_seed: str, revoked: Mapping[str, int]) -> str:
    """Return an account's claims with further users revoked (`account_token`), signed by a signing key of the operator.

    The same revocations make the same token, whoever signs it. It is newer than the installed one, so that a server which starts
    with that in its configuration keeps this one.
    """
    body = claims_of(installed)
    claims: dict[str, Any] = body["nats"]
    all_revoked = {**claims.get("revocations", {}), **revoked}
    if all_revoked:
        claims["revocations"] = all_revoked
    issued_at = max([int(body["iat"]) + 1, *all_revoked.values()])
    return _token(signing_seed, body["name"], body["sub"], claims, issued_at=issued_at)


def sign(seed: str, message: bytes) -> bytes:
    """Return the signature of a message by a key."""
    signature: bytes = nkeys.from_seed(bytearray(seed, "ascii")).sign(message)
    return signature


def verifies(public: str, message: bytes, signature: bytes) -> bool:
    """Return whether the signature is by the owner of a user's public key (`is_user_key`)."""
    try:
        Ed25519PublicKey.from_public_bytes(_raw(public)[1:-2]).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def is_user_key(text: str) -> bool:
    """Return whether this is the public key of a user: its kind, its length and its checksum."""
    try:
        raw = _raw(text)
    except ValueError:
        return False
    checksum = nkeys.crc16(bytearray(raw[:-2])).to_bytes(2, "little")
    return len(raw) == 35 and raw[0] == nkeys.PREFIX_BYTE_USER and raw[-2:] == checksum


def _raw(public: str) -> bytes:
    return base64.b32decode(public + "=" * (-len(public) % 8))  # binascii.Error is a ValueError


def user_token(
    signing_seed: str,
    user: BusUser,
    *,
    account: str,
    public: str,
    issued_at: int,
    expires_at: int | None = None,
) -> str:
    """Return a user's claims, signed by its account's signing key: exactly the subjects of `permissions(user)`."""
    allowed = permissions(user)
    claims: dict[str, Any] = {
        "type": "user",
        "issuer_account": account,
        "pub": {"allow": list(allowed.publish)},
        "sub": {"allow": list(allowed.subscribe)},
        **dict.fromkeys(("subs", "data", "payload"), _UNLIMITED),
    }
    if allowed.allow_responses:
        claims["resp"] = dict(_ANSWERS)
    return _token(signing_seed, user.name, public, claims, issued_at=issued_at, expires_at=expires_at)


def system_user_token(
    signing_seed: str, *, name: str, account: str, public: str, issued_at: int, claims_only: bool = False
) -> str:
    """Return the claims of a user of the system account: who may do all there, or (`claims_only`) replace accounts' claims
    in the servers and read them, and nothing else.
    """
    claims = {
        "type": "user",
        "issuer_account": account,
        "pub": {"allow": [CLAIMS_UPDATE, CLAIMS_LOOKUP.format("*")]} if claims_only else {},
        "sub": {"allow": [f"_INBOX_{name}.>"]} if claims_only else {},
        **dict.fromkeys(("subs", "data", "payload"), _UNLIMITED),
    }
    return _token(signing_seed, name, public, claims, issued_at=issued_at)


def _export(export: AccountExport) -> dict[str, str]:
    answers = {"response_type": "Stream" if export.many else "Singleton"} if export.kind == "service" else {}
    return {"name": export.subject, "subject": export.subject, "type": export.kind, **answers}


def _token(
    seed: str, name: str, subject: str, claims: dict[str, Any], *, issued_at: int, expires_at: int | None = None
) -> str:
    """Return a signed token. Its id is a hash of its content, so that the same claims make the same token."""
    body: dict[str, Any] = {
        "iat": issued_at,
        "iss": public_key(seed),
        "name": name,
        "sub": subject,
        "nats": {**claims, "version": 2},
    }
    if expires_at is not None:
        body["exp"] = expires_at
    digest = hashlib.sha256(_compact(body)).digest()
    body["jti"] = base64.b32encode(digest).decode("ascii").rstrip("=")
    signed = f"{_base64(_compact({'typ': 'JWT', 'alg': 'ed25519-nkey'}))}.{_base64(_compact(body))}"
    return f"{signed}.{_base64(sign(seed, signed.encode('ascii')))}"


def _compact(value: Collection[Any]) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
