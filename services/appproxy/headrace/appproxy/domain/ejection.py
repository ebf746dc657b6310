"""Passive health: a replica that refuses connections is passed over for a moment, before its next health check tells.

Failed connects count, and fresh connections that end without an answer, from the second in a row: a dead container's port
may still be answered by the engine in front of it, while a single one may be the doing of that one request. What a replica
answers (4xx, 5xx) never takes it out: callers' mistakes must not empty a service.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass

from headrace.common.contracts.ids import SessionId


@dataclass(frozen=True, slots=True)
class _Out:
    until_s: float
    for_s: float


class Ejections:
    """Which replicas are passed over. The time out doubles while a replica refuses again soon after its return.

    `now_s` is any clock that only goes forward, in seconds.
    """

    def __init__(self, *, first_s: float = 1.0, most_s: float = 8.0) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._out: dict[SessionId, _Out] = {}
        self._dropped: set[SessionId] = set()

    def refused(self, session_id: SessionId, now_s: float) -> bool:
        """Note a failed connect. Return whether it takes the replica out now (not when it is out already)."""
        seen = self._out.get(session_id)
        if seen is not None and now_s < seen.until_s:
            return False
        again = seen is not None and now_s < seen.until_s + seen.for_s
        for_s = min(self._most_s, seen.for_s * 2) if again and seen else self._first_s
        self._out[session_id] = _Out(now_s + for_s, for_s)
        return True

    def dropped(self, session_id: SessionId, now_s: float) -> bool:
        """Note a fresh connection that ended without an answer. Return whether it takes the replica out now."""
        if session_id not in self._dropped:
            self._dropped.add(session_id)
            return False
        return self.refused(session_id, now_s)

    def answered(self, session_id: SessionId) -> None:
        """Note that the replica answered something: it is back at once."""
        self._out.pop(session_id, None)
        self._dropped.discard(session_id)

    def out(self, now_s: float) -> frozenset[SessionId]:
        """Return the replicas that are passed over at `now_s`."""
        if not self._out:
            return frozenset()
        return frozenset(session_id for session_id, seen in self._out.items() if now_s < seen.until_s)

    def keep_only(self, live: Container[SessionId]) -> None:
        """Forget replicas that are not in `live`."""
        gone: Iterable[SessionId] = [session_id for session_id in self._out if session_id not in live]
        for session_id in gone:
            del self._out[session_id]
        self._dropped = {session_id for session_id in self._dropped if session_id in live}
