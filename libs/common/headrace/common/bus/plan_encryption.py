"""Encryption of the specs in a plan to its agent's key: HPKE (RFC 9180) with X25519, HKDF-SHA256 and ChaCha20-Poly1305.

It hides what a plan says from whoever reads the stream. Who may write a plan is not its matter: anybody can encrypt to a
public key, and the bus' permissions let managers alone publish one.
"""

from __future__ import annotations

import base64
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from headrace.common.contracts.ids import AgentId

_SUITE: Final = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
_ADDED_BYTES: Final = 256
"""More than key, tag and field name of what is encrypted take."""


class PlanUnreadableError(Exception):
    """The specs of a plan cannot be decrypted; `str()` says why, without any content."""


class PlanKey:
    """Key pair of one agent."""

    def __init__(self, private: X25519PrivateKey) -> None:
        self._private = private

    @classmethod
    def generate(cls) -> PlanKey:
        """Return a new key pair."""
        return cls(X25519PrivateKey.generate())

    @classmethod
    def load(cls, private: bytes) -> PlanKey:
        """Return the key pair with these 32 bytes as its private part. Raises ValueError."""
        return cls(X25519PrivateKey.from_private_bytes(private))

    def private_bytes(self) -> bytes:
        """Return the private part: 32 bytes. Secret."""
        return self._private.private_bytes_raw()

    @property
    def public(self) -> str:
        """The public part, as agents report it (base64url)."""
        return _text(self._private.public_key().public_bytes_raw())

    def decrypt(self, text: str, *, agent_id: AgentId, generation: int) -> bytes:
        """Decrypt what was encrypted for this agent and this generation of its plan. Raises PlanUnreadableError."""
        try:
            sealed = base64.b64decode(text, validate=True)
            return _SUITE.decrypt(sealed, self._private, info=_info(agent_id, generation))
        except (InvalidTag, ValueError):
            raise PlanUnreadableError(
                f"its plan of generation {generation} is not encrypted to its key {self.public[:8]}…, or was changed"
            ) from None


def recipient(public: str) -> X25519PublicKey:
    """Return the key that an agent reports. Raises ValueError for one to which nothing can be encrypted."""
    try:
        key = X25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(f"{public}="))
        X25519PrivateKey.generate().exchange(key)
    except ValueError:
        raise ValueError("nothing can be encrypted to the plan key that its agent reports") from None
    return key


def encrypt(data: bytes, key: X25519PublicKey, *, agent_id: AgentId, generation: int) -> str:
    """Encrypt to an agent's key (`recipient`), for one generation of its plan; other bytes each time."""
    return base64.b64encode(_SUITE.encrypt(data, key, info=_info(agent_id, generation))).decode("ascii")


def encrypted_size(size: int) -> int:
    """Return the largest size that a plan of `size` bytes has with its specs encrypted."""
    return size * 4 // 3 + _ADDED_BYTES


def _info(agent_id: AgentId, generation: int) -> bytes:
    return f"headrace plan specs 1 {agent_id} {generation}".encode()


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")
