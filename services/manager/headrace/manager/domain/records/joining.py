"""Records of joining: tokens, and identities on the bus."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from headrace.common.contracts.ids import JoinTokenId
from headrace.common.contracts.vocabulary import JoinKind


@dataclass(frozen=True)
class JoinToken:
    """A token with which machines join, without its secret."""

    id: JoinTokenId
    kind: JoinKind
    resource_group: str
    labels: Mapping[str, str]
    uses: int
    used: int
    created_at: datetime
    created_by: str
    expires_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True)
class StoredJoinToken:
    """A join token with the hash of its secret, for authentication."""

    token: JoinToken
    secret_hash: bytes
    expired: bool


@dataclass(frozen=True)
class BusIdentity:
    """An identity on the bus: of an agent, an app-proxy or an autoscaler."""

    public_key: str
    name: str
    kind: JoinKind
    joined_at: datetime
    issued_at: datetime
    """Time of its newest signature."""
    expires_at: datetime | None
    revoked_at: datetime | None
    revoked_by: str
    revoked_reason: str


@dataclass(frozen=True)
class Signed:
    """What a signature says of an identity: who, and from when to when."""

    name: str
    kind: JoinKind
    issued_at: datetime
    expires_at: datetime
