"""Rows of what was published last of each subject."""

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
    """What a table's bytes come to."""

    digest: bytes
    bytes: int
