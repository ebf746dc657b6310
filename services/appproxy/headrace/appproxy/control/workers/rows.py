"""Allocates rows of the in-flight table to replicas.

A row is reused only when no worker can still write to it. Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from headrace.common.contracts.ids import SessionId


class RowAllocator:
    """Allocates rows of the in-flight table to replicas, and reuses the one that was released longest ago.

    A row is free again once every worker has applied a table without its replica, and no request is open there.
    """

    def __init__(self, number: int) -> None:
        self._free = deque(range(number))
        self._taken: dict[SessionId, int] = {}
        self._left: dict[SessionId, int] = {}
        """Released replicas, with the sequence number of the first table without them."""

    def take(self, session_id: SessionId) -> int | None:
        """Return the replica's row, allocating one if needed; None if all are in use."""
        self._left.pop(session_id, None)
        row = self._taken.get(session_id)
        if row is None and self._free:
            row = self._taken[session_id] = self._free.popleft()
        return row

    def release(self, sessions: Iterable[SessionId], sequence: int) -> None:
        """Record that these replicas are in no table from the message with this number on."""
        self._left.update((session_id, sequence) for session_id in sessions if session_id in self._taken)

    def sweep(self, applied: int, empty: Callable[[int], bool]) -> None:
        """Free the rows of released replicas. `applied`: the number up to which every worker has applied the parent's
        messages.
        """
        for session_id, sequence in list(self._left.items()):
            if sequence <= applied and empty(self._taken[session_id]):
                del self._left[session_id]
                self._free.append(self._taken.pop(session_id))

    def items(self) -> list[tuple[SessionId, int]]:
        """Return every replica that has a row, with the row."""
        return list(self._taken.items())
