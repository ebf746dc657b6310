"""Results of unpacking archives into folders."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LeftOut:
    """Refused entry of an archive, and why."""

    path: str
    found: str
    allowed: str


@dataclass(frozen=True)
class Unpacked:
    """Result of unpacking an archive: counts, and the first refused entries."""

    files: int
    directories: int
    bytes: int
    refused_count: int
    refused: tuple[LeftOut, ...]
