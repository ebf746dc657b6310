"""Allocates rows of the in-flight table to replicas.

A row is given out again only when no worker can still write in it. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from headrace.common.contracts.ids import SessionId


class RowAllocator:
    """Hands rows out, and takes one back once no worker can write in it any more: each has put in use a table without the replica,
    and nothing is open there. The row that is unused for longest goes out first.
    """

    def __init__(self, number: int) -> None:
        self._free = deque(range(number))
        self._taken: dict[SessionId, int] = {}
        self._left: dict[SessionId, int] = {}
        """Replicas that no table names any more, and the step since when."""

    def take(self, session_id: SessionId) -> int | None:
        """Return the replica's row; None where all are taken."""
        self._left.pop(session_id, None)
        row = self._taken.get(session_id)
        if row is None and self._free:
            row = self._taken[session_id] = self._free.popleft()
        return row

    def release(self, sessions: Iterable[SessionId], step: int) -> None:
        """Note that no table names these from `step` on."""
        self._left.update((session_id, step) for session_id in sessions if session_id in self._taken)

    def sweep(self, applied: int, empty: Callable[[int], bool]) -> None:
        """Take back what is unused. `applied`: the step that every worker has reached."""
        for session_id, step in list(self._left.items()):
            if step <= applied and empty(self._taken[session_id]):
                del self._left[session_id]
                self._free.append(self._taken.pop(session_id))

    def items(self) -> list[tuple[SessionId, int]]:
        """Return every replica that has a row."""
        return list(self._taken.items())
