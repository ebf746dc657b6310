"""How many requests are open on each replica: counted from the open leases themselves, so it can neither leak nor go negative.

Load is kept apart from the route tables: a new table, or a replica's changed health, never touches it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from headrace.common.contracts.ids import ServiceId, SessionId


@dataclass(frozen=True, slots=True, eq=False)
class Lease:
    """One open request on one replica."""

    service_id: ServiceId
    session_id: SessionId


class Load:
    """The open leases. `on_idle(session_id)` is called when the last one of a replica ends."""

    def __init__(self, on_idle: Callable[[SessionId], None] = lambda _: None) -> None:
        self._open: dict[SessionId, set[Lease]] = {}
        self._on_idle = on_idle

    @contextmanager
    def lease(self, service_id: ServiceId, session_id: SessionId) -> Iterator[Lease]:
        """Count one request on the replica while inside."""
        lease = Lease(service_id, session_id)
        self._open.setdefault(session_id, set()).add(lease)
        try:
            yield lease
        finally:
            leases = self._open[session_id]
            leases.discard(lease)
            if not leases:
                del self._open[session_id]
                self._on_idle(session_id)

    def in_flight(self, session_id: SessionId) -> int:
        """Return the number of open requests on the replica."""
        return len(self._open.get(session_id, ()))

    def sessions(self) -> dict[SessionId, ServiceId]:
        """Return the replicas with open requests, each with its service."""
        return {session_id: next(iter(leases)).service_id for session_id, leases in self._open.items()}

    @property
    def total(self) -> int:
        """The number of all open requests."""
        return sum(map(len, self._open.values()))
