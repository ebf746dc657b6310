"""Records of searches."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from headrace.common.contracts.vocabulary import FoundKind


@dataclass(frozen=True)
class Found:
    """Something that a search found."""

    kind: FoundKind
    id: UUID | str
    name: str
    project: str | None
    description: str
