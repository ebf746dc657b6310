"""Registry of a worker's backends by name, port, id and model, updated with the route tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from headrace.appproxy.dataplane.balancing.backend import Backend
from headrace.appproxy.dataplane.balancing.destination import DestinationCache
from headrace.appproxy.dataplane.inspect.model_index import ModelIndex
from headrace.appproxy.dataplane.route_table import RouteEntry, RouteTables
from headrace.appproxy.dataplane.upstream.replica import Replica
from headrace.appproxy.dataplane.upstream.shared_load import InFlightCell
from headrace.appproxy.ipc.snapshot import QueueDepth, TrafficSnapshot
from headrace.common.contracts.ids import ServiceId, SessionId
from headrace.common.contracts.messages.routes import RouteTable

_DRAIN_COUNTS_KEPT_S: Final = 600.0


class BackendRegistry:
    """Registry of the backends of all services in the tables. `make` builds the backend of a new service."""

    def __init__(self, tables: RouteTables, make: Callable[[RouteEntry], Backend]) -> None:
        self.tables = tables
        self.destinations = DestinationCache()
        self.table_version = object()
        """Replaced with every new table: plans made before it are stale."""
        self.model_index = ModelIndex()
        """Services by model name."""
        self._make = make
        self._backends: dict[ServiceId, Backend] = {}
        self.retired: dict[SessionId, tuple[Replica, float]] = {}
        """Replicas that left the tables, and until when their drain counts are reported."""

    def retire(self, replica: Replica, now_s: float) -> None:
        """Keep the drain counts of a replica that left the table."""
        self.retired[replica.session_id] = replica, now_s + _DRAIN_COUNTS_KEPT_S

    def sweep(self, now_s: float) -> None:
        """Remove reported drain counts; of replicas that left the tables, move open requests away and end overdue
        drains.
        """
        for replica, _ in self.retired.values():
            replica.cut_overdue(now_s)
            replica.move_requests()
        for session_id in [known for known, (_, until_s) in self.retired.items() if until_s <= now_s]:
            del self.retired[session_id]

    def snapshot(self, now_s: float, *, connections: int) -> TrafficSnapshot:
        """Return open, queued and draining requests, with this number of downstream connections."""
        live = [replica for backend in self for replica in backend.replicas.values()]
        drains = [r for r in live if r.drain is not None] + [replica for replica, _ in self.retired.values()]
        return TrafficSnapshot(
            in_flight={r.session_id: len(r.open) for r in live if r.open},
            drains={r.session_id: r.drain.counts(len(r.open)) for r in drains if r.drain is not None},
            queues={
                service_id: QueueDepth(
                    requests=len(backend.queue),
                    oldest_s=now_s - (backend.queue.oldest_s or now_s),
                    held=backend.waits_for_first_replica,
                )
                for service_id, backend in self._backends.items()
                if backend.queue
            },
            ejected=frozenset([r.session_id for backend in self for r in backend.ejected_replicas()]),
            connections=connections,
        )

    def load(self, now_s: float) -> None:
        """Apply the tables from disk."""
        for table in list(self.tables):
            self._update(table, {}, now_s)

    def apply(self, table: RouteTable, cells: Mapping[SessionId, InFlightCell], now_s: float) -> bool:
        """Apply a table. Return False, and change nothing, unless its generation is above the current one."""
        if not self.tables.apply(table):
            return False
        self._update(table, cells, now_s)
        return True

    def _update(self, table: RouteTable, cells: Mapping[SessionId, InFlightCell], now_s: float) -> None:
        self.destinations.clear()
        self.table_version = object()
        self.model_index.apply(table)
        backend = self._backends.get(table.service_id)
        entry = self.tables.get(table.service_id)
        if entry is None:
            if backend is not None:
                del self._backends[table.service_id]
                backend.end()
        elif backend is None:
            made = self._backends[table.service_id] = self._make(entry)
            made.update(entry, cells, now_s)
        else:
            backend.update(entry, cells, now_s)

    def by_name(self, name: str) -> Backend | None:
        """Return the backend of the service with this name (path segment and host label)."""
        return self._of(self.tables.by_name(name))

    def by_port(self, port: int) -> Backend | None:
        """Return the backend of the service with this own port."""
        return self._of(self.tables.by_port(port))

    def by_id(self, service_id: ServiceId) -> Backend | None:
        """Return the backend of the service with this id."""
        return self._backends.get(service_id)

    def _of(self, entry: RouteEntry | None) -> Backend | None:
        return self._backends.get(entry.table.service_id) if entry is not None else None

    def __iter__(self) -> Iterator[Backend]:
        return iter(self._backends.values())
