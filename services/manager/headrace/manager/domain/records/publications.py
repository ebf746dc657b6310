"""Records of published tables."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Publication:
    """Last publication of a subject; generation 0: never published."""

    generation: int
    digest: bytes
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """Digest and size of a table's bytes."""

    digest: bytes
    bytes: int
