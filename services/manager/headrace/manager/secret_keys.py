"""Envelope encryption of secrets: each value by a data key of its own, and that by a key of the operator's (`secrets_keys`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from headrace.common.contracts.ids import SecretId
from headrace.common.contracts.problems import Unavailable
from headrace.common.contracts.reasons.api import ApiReason
from headrace.common.runtime.secrets_keys import SECRET_KEY_ID

_NONCE_BYTES: Final = 12
_KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """Value of one version as it is stored: encrypted with a data key, and that with the key of this id."""

    value: bytes = field(repr=False)
    data_key: bytes = field(repr=False)
    key_id: str


class SecretKeys:
    """Key-encryption keys, by id: the first one encrypts, all of them decrypt. Values are bound to their secret and version."""

    def __init__(self, secret_key: bytes, listed: Sequence[str]) -> None:
        """`listed`: the setting `secrets_keys`; empty: the key that is derived from `secret_key`."""
        ids = [one.partition(":")[0] for one in listed] or [SECRET_KEY_ID]
        self._keys = {key_id: _key(secret_key, one) for key_id, one in zip(ids, listed or ids, strict=True)}
        self.current: Final = ids[0]
        self.former: Final = tuple(ids[1:])

    def seal(self, value: str, secret_id: SecretId, version: int) -> SealedSecret:
        """Return the value encrypted (AES-256-GCM), by the first key."""
        data_key = os.urandom(_KEY_BYTES)
        label = _label(secret_id, version)
        return SealedSecret(_encrypted(data_key, value.encode(), label), self._wrapped(data_key, label), self.current)

    def open(self, sealed: SealedSecret, secret_id: SecretId, version: int) -> str:
        """Return the value. Raises Unavailable for one that the manager's keys do not decrypt."""
        label = _label(secret_id, version)
        try:
            return _decrypted(self._data_key(sealed, label), sealed.value, label).decode()
        except InvalidTag:
            raise _unreadable(sealed.key_id) from None

    def rewrapped(self, sealed: SealedSecret, secret_id: SecretId, version: int) -> SealedSecret:
        """Return the same with its data key encrypted by the first key. Raises Unavailable."""
        label = _label(secret_id, version)
        try:
            data_key = self._data_key(sealed, label)
        except InvalidTag:
            raise _unreadable(sealed.key_id) from None
        return SealedSecret(sealed.value, self._wrapped(data_key, label), self.current)

    def _wrapped(self, data_key: bytes, label: bytes) -> bytes:
        return _encrypted(self._keys[self.current], data_key, label)

    def _data_key(self, sealed: SealedSecret, label: bytes) -> bytes:
        key = self._keys.get(sealed.key_id)
        if key is None:
            raise _unreadable(sealed.key_id)
        return _decrypted(key, sealed.data_key, label)


def _key(secret_key: bytes, listed: str) -> bytes:
    if listed == SECRET_KEY_ID:
        return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=b"headrace secrets v1").derive(secret_key)
    return bytes.fromhex(listed.partition(":")[2])


def _encrypted(key: bytes, content: bytes, label: bytes) -> bytes:
    nonce = os.urandom(_NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, content, label)


def _decrypted(key: bytes, content: bytes, label: bytes) -> bytes:
    return AESGCM(key).decrypt(content[:_NONCE_BYTES], content[_NONCE_BYTES:], label)


def _label(secret_id: SecretId, version: int) -> bytes:
    return f"headrace secret {secret_id} {version}".encode()


def _unreadable(key_id: str) -> Unavailable:
    return Unavailable(
        f"a secret cannot be read: it is encrypted with the key {key_id}, which the manager's setting secrets_keys lacks "
        "or has otherwise",
        reason=ApiReason.SECRET_KEY_CHANGED,
    )
