"""Results of archives that were unpacked into folders."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class LeftOut:
    """An entry of an archive that was refused, and why."""

    path: str
    found: str
    allowed: str


@dataclass(frozen=True)
class Unpacked:
    """What was taken of an archive. Of refused entries the first are named."""

    files: int
    directories: int
    bytes: int
    refused_count: int
    refused: tuple[LeftOut, ...]
