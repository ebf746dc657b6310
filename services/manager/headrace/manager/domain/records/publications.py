"""Records of what was published last of each subject."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Publication:
    """What was published last of a subject: generation 0 is nothing yet."""

    generation: int
    digest: bytes
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Content:
    """Digest and size of a table's bytes."""

    digest: bytes
    bytes: int
