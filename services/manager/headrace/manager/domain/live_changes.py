"""Live changes: the newest ones in a bounded ring, and who may be told which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from headrace.manager.domain.records.live_changes import LiveChange, Sight

RING: Final = 10_000
"""Changes that are kept for those who reconnect or are slow."""
_OF_ALL: Final = frozenset({"resource-preset"})
"""Kinds that everybody may list, also where a thing is of no project."""


class ChangeRing:
    """The newest changes, numbered from 1 on."""

    def __init__(self, size: int = RING) -> None:
        self._size = size
        self._kept: list[LiveChange] = []
        self._before = 0
        """Number of the newest change that is not kept."""

    @property
    def newest(self) -> int:
        """Number of the newest change; 0: there was none."""
        return self._before + len(self._kept)

    def append(self, changes: Iterable[LiveChange]) -> None:
        """Add changes; the oldest ones are forgotten."""
        self._kept.extend(changes)
        surplus = len(self._kept) - self._size
        if surplus > 0:
            del self._kept[:surplus]
            self._before += surplus

    def knows(self, number: int) -> bool:
        """Return whether all changes after this one are kept."""
        return self._before <= number <= self.newest

    def after(self, number: int, most: int) -> tuple[int, list[tuple[int, LiveChange]]]:
        """Return the next `most` changes after `number`, of several of one thing the last, and up to which number these go.

        The number is one that the ring knows.
        """
        kept = self._kept[(first := number - self._before) : first + most] if number < self.newest else []
        last = {change: number + at for at, change in enumerate(kept, 1)}
        return number + len(kept), sorted(((at, change) for change, at in last.items()), key=lambda pair: pair[0])


@dataclass(frozen=True, slots=True)
class Scope:
    """What a follower wants, and may be told."""

    sight: Sight
    project_id: UUID | None = None
    """Only changes in this project; None: all that the caller may see."""

    def tells(self, change: LiveChange) -> bool:
        """Return whether the follower is told of the change."""
        project = change.project_id
        if self.project_id is not None:
            return project == self.project_id
        if self.sight.projects is None:
            return True
        if project is not None:
            return project in self.sight.projects
        return change.kind in _OF_ALL or (change.kind == "user" and change.thing_id == str(self.sight.user_id))

    def seen_by(self, sight: Sight | None) -> Scope | None:
        """Return the scope with what its caller may see now (None: its key or login is over); None where nothing is left of it."""
        if sight is None:
            return None
        lost = self.project_id is not None and sight.projects is not None and self.project_id not in sight.projects
        return None if lost else replace(self, sight=sight)


def decides_on_access(changes: Sequence[LiveChange]) -> bool:
    """Return whether one of the changes may change who sees what."""
    return any(change.kind in {"user", "project"} for change in changes)
