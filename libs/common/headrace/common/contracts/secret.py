"""Secrets of projects: how a spec refers to one, and what a revision has of it. Their values are in neither."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, PositiveInt, StringConstraints

from headrace.common.contracts.ids import SLUG, SecretId
from headrace.common.contracts.wording import PATTERNS, Refused, pattern

MAX_VALUE_BYTES: Final = 32_768
SECRET_NAMES: Final = PATTERNS[SLUG]
"""What names of secrets may be, in words."""
_REFERENCE: Final = pattern(
    r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(@[1-9][0-9]{0,8})?$",
    "the name of a secret, or NAME@VERSION for one version of it",
)
SecretReference = Annotated[str, StringConstraints(pattern=_REFERENCE)]
"""Name of a secret of the project: a new revision gets its newest version; with `@VERSION` that one."""

SecretUse = Literal["variable", "registry", "model"]
"""What a revision has a secret for: an environment variable, the login at its image's registry, or that at its model's source."""


_NAME: Final = re.compile(SLUG)


def is_secret_name(text: str) -> bool:
    """Return whether a secret can have this name: that of a Slug."""
    return _NAME.fullmatch(text) is not None


class SecretName(NamedTuple):
    """Parts of a SecretReference."""

    name: str
    version: int | None


def secret_name(reference: str) -> SecretName:
    """Return the parts of a SecretReference."""
    name, _, version = reference.partition("@")
    return SecretName(name, int(version) if version else None)


class PinnedSecret(BaseModel):
    """A secret at the version that a revision has of it, whatever is stored under its name later."""

    model_config = ConfigDict(frozen=True, extra="ignore")
    use: SecretUse
    variable: str = ""
    """Environment variable; empty for other uses."""
    secret_id: SecretId
    name: str
    version: PositiveInt
    fixed: bool = False
    """Whether the spec names this version, so that a refresh keeps it."""


def checked_value(value: object) -> str:
    """Return the value of a secret. Raises Refused, without the value."""
    allowed = f"text of 1 to {MAX_VALUE_BYTES} bytes without the NUL character"
    if not isinstance(value, str):
        raise Refused("something other than text", allowed)
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        raise Refused("text that has no UTF-8 form", allowed) from None
    if not 1 <= size <= MAX_VALUE_BYTES:
        raise Refused(f"{size} bytes", allowed)
    if "\x00" in value:
        raise Refused("a NUL character", allowed)
    return value
