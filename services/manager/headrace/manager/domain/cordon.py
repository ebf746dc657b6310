"""Cordon of a machine: an operator lets nothing new be placed there. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Cordon:
    """Who cordoned a machine, since when, and why."""

    at: datetime
    by: str
    reason: str

    @classmethod
    def read(cls, at: datetime | None, by: str, reason: str) -> Cordon | None:
        """Return the cordon in a machine's row; None where it has none."""
        return None if at is None else cls(at, by, reason)

    @property
    def text(self) -> str:
        """In words, after the machine's name."""
        since = f"is cordoned by {self.by} since {self.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return f"{since}: {self.reason}" if self.reason else since
