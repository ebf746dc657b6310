"""Records of live events: changes, and whoever follows them."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from headrace.common.contracts.ids import KeyId, LoginId, ProjectId, UserId
from headrace.common.contracts.vocabulary import LiveKind


@dataclass(frozen=True, slots=True)
class LiveChange:
    """Something changed, was made or is gone; what, the reader looks up."""

    kind: LiveKind
    thing_id: str
    project_id: ProjectId | None


@dataclass(frozen=True, slots=True)
class Credential:
    """What a caller presented: a login, an API key, or a login that came from a key."""

    login_id: LoginId | None
    key_id: KeyId | None


@dataclass(frozen=True, slots=True)
class Sight:
    """What a caller may see at present."""

    user_id: UserId
    projects: frozenset[UUID] | None
    """Projects; None: an operator, who sees all of the installation."""
