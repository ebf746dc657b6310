"""Records of secrets: without their values, but for SealedVersion, which has it encrypted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import SecretId


@dataclass(frozen=True)
class Secret:
    """A secret, and who stored its newest version."""

    id: SecretId
    name: str
    version: int
    """The newest one."""
    created_by: str
    created_at: datetime
    updated_by: str
    updated_at: datetime


@dataclass(frozen=True)
class SecretVersion:
    """A version of a secret."""

    version: int
    created_by: str
    created_at: datetime


@dataclass(frozen=True)
class SecretUser:
    """Living service, or a trial run, that uses a version of a secret."""

    service: str | None
    """None: a trial run that has not ended."""
    version: int
    pinned: bool = False
    """Whether each reference of the service to it names the version."""


@dataclass(frozen=True)
class KnownSecret:
    """A secret as specs refer to it."""

    id: SecretId
    name: str
    newest: int
    sizes: Mapping[int, int]
    """Version → size of its value as JSON text."""
