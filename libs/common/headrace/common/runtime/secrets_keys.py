"""Setting `secrets_keys` of the managers: the keys with which the data keys of secrets are encrypted, the first one for new ones."""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import AfterValidator, Field, SecretStr

SECRET_KEY_ID: Final = "secret-key"  # noqa: S105 - a name
"""Stands in the list for the key that is derived from the setting `secret_key`; alone, where the list is empty."""
MAX_KEYS: Final = 10
_FORM: Final = re.compile(rf"{SECRET_KEY_ID}|[0-9a-f]{{16}}:[0-9a-f]{{64}}")


def _checked(keys: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
    found = texts(keys)
    ids = [text.partition(":")[0] for text in found]
    if len(set(ids)) < len(ids) or not all(_FORM.fullmatch(text) for text in found):
        raise ValueError(
            f"found something else; allowed: a list of {SECRET_KEY_ID} and ID:KEY (16 and 64 hexadecimal digits), each once"
        )
    return keys


SecretsKeys = Annotated[tuple[SecretStr, ...], Field(max_length=MAX_KEYS), AfterValidator(_checked)]


def texts(keys: Sequence[SecretStr]) -> tuple[str, ...]:
    """Return the keys as text. Secret."""
    return tuple(key.get_secret_value() for key in keys)


def new_secrets_key() -> str:
    """Generate a key: ID:KEY, 256 random bits."""
    return f"{secrets.token_hex(8)}:{secrets.token_hex(32)}"
