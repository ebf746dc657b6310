"""Dispatches queued requests when another worker frees a replica.

While requests are queued for a replica with a limit, their worker claims a place in the in-flight table and is woken
when there may be one; a poll every 20 ms covers changing turns and replicas freed in other ways. Nothing runs while no
request is queued.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from headrace.appproxy.dataplane.balancing.registry import BackendRegistry
from headrace.appproxy.dataplane.upstream.shared_load import InFlightCell
from headrace.common.contracts.ids import SessionId

_POLL_S = 0.02


class QueueWaker:
    """Dispatches a worker's queued requests when a replica has room again. `cells`: its cells of the in-flight table,
    by replica.
    """

    def __init__(self, backends: BackendRegistry, cells: Mapping[SessionId, InFlightCell]) -> None:
        self._backends = backends
        self._cells = cells
        self._claimed: set[InFlightCell] = set()
        self._next: asyncio.Handle | None = None
        self._soon = False

    def poke(self) -> None:
        """Schedule a dispatch for the next turn of the event loop. May be called while a queue is being changed."""
        if not self._soon:
            self._soon = True
            if self._next is not None:
                self._next.cancel()
            self._next = asyncio.get_running_loop().call_soon(self._dispatch)

    def _dispatch(self) -> None:
        self._soon, self._next = False, None
        wanted: set[InFlightCell] = set()
        for backend in list(self._backends):
            if backend.queue:
                backend.dispatch()
            if backend.queue and backend.table.limits.max_in_flight_per_replica is not None:
                wanted.update(self._cells[known] for known in backend.replicas if known in self._cells)
        for cell in self._claimed - wanted:
            cell.claim(wanted=False)
        for cell in wanted - self._claimed:
            cell.claim(wanted=True)
        self._claimed = wanted
        if wanted and self._next is None:
            self._next = asyncio.get_running_loop().call_later(_POLL_S, self._dispatch)

    def end(self) -> None:
        """Stop dispatching."""
        if self._next is not None:
            self._next.cancel()
