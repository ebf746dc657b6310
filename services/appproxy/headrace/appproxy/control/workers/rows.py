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
        """Replicas that no table names any more, and the sequence number of the table that was the first not to."""

    def take(self, session_id: SessionId) -> int | None:
        """Return the replica's row; None where all are taken."""
        self._left.pop(session_id, None)
        row = self._taken.get(session_id)
        if row is None and self._free:
            row = self._taken[session_id] = self._free.popleft()
        return row

    def release(self, sessions: Iterable[SessionId], sequence: int) -> None:
        """Note that no table names these from the one with this number on."""
        self._left.update((session_id, sequence) for session_id in sessions if session_id in self._taken)

    def sweep(self, applied: int, empty: Callable[[int], bool]) -> None:
        """Take back what is unused. `applied`: up to which number every worker has applied the parent's changes."""
        for session_id, sequence in list(self._left.items()):
            if sequence <= applied and empty(self._taken[session_id]):
                del self._left[session_id]
                self._free.append(self._taken.pop(session_id))

    def items(self) -> list[tuple[SessionId, int]]:
        """Return every replica that has a row."""
        return list(self._taken.items())
