"""All services of a worker: found by name, port, id or model, and kept in step with the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from headrace.appproxy.domain.fleet import Index
from headrace.appproxy.serving import Serving
from headrace.appproxy.table import Entry, Tables
from headrace.appproxy.upstream.replica import Replica
from headrace.appproxy.view import State
from headrace.common.contracts.ids import ServiceId, SessionId
from headrace.common.contracts.messages.routes import RouteTable

if TYPE_CHECKING:
    from headrace.appproxy.traffic.destination import Destination

_MOST_DESTINATIONS: Final = 2048
_LONGEST_REMEMBERED: Final = 512
_RECEIPT_S: Final = 600.0


class Destinations:
    """Where addresses lead, by (first segment of the path, host): remembered, since a few make up nearly all traffic. Bounded, and
    forgotten with every new table."""

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, bytes], Destination] = {}
        self.get = self._known.get

    def put(self, address: tuple[bytes, bytes], destination: Destination) -> None:
        """Remember one."""
        if len(address[0]) + len(address[1]) > _LONGEST_REMEMBERED:
            return
        if len(self._known) >= _MOST_DESTINATIONS:
            self._known.clear()
        self._known[address] = destination

    def clear(self) -> None:
        """Forget all."""
        self._known.clear()


class Servings:
    """The services in the tables. `make` builds the live side of a new one."""

    def __init__(self, tables: Tables, make: Callable[[Entry], Serving]) -> None:
        self.tables = tables
        self.destinations = Destinations()
        self.era = object()
        """Another one with every new table: what was worked out from tables before holds no more."""
        self.index = Index()
        """Which service a model's name leads to."""
        self._make = make
        self._live: dict[ServiceId, Serving] = {}
        self.gone: dict[SessionId, tuple[Replica, float]] = {}
        """Replicas that left the tables, and until when their receipts are told."""

    def let_go(self, replica: Replica, now_s: float) -> None:
        """Keep the receipt of a replica that left the table."""
        self.gone[replica.session_id] = replica, now_s + _RECEIPT_S

    def forget_old(self, now_s: float) -> None:
        """Drop the receipts that were told long enough; of replicas that left, move requests to others, and end drains whose grace is over."""
        for replica, _ in self.gone.values():
            replica.cut_late(now_s)
            replica.move_open()
        for session_id in [known for known, (_, until_s) in self.gone.items() if until_s <= now_s]:
            del self.gone[session_id]

    def state(self, now_s: float) -> State:
        """Return what is in hand now (view.State), without the connections."""
        live = [replica for serving in self for replica in serving.replicas.values()]
        drains = [r for r in live if r.drain is not None] + [replica for replica, _ in self.gone.values()]
        return {
            "open": {r.key: len(r.open) for r in live if r.open},
            "drains": {r.key: [len(r.open), *r.drain.numbers] for r in drains if r.drain is not None},
            "queued": {
                serving.key: [len(serving.queue), now_s - (serving.queue.oldest_s or now_s), serving.held]
                for serving in self
                if serving.queue
            },
            "out": [key for serving in self for key in serving.ejected()],
            "connections": 0,
        }

    def load(self, now_s: float) -> None:
        """Take over the tables that are there already (from disk)."""
        for table in list(self.tables):
            self._update(table, {}, now_s)

    def apply(self, table: RouteTable, slots: Mapping[SessionId, Any], now_s: float) -> bool:
        """Put a table in use. Return False, and change nothing, unless it is newer than the one in use."""
        if not self.tables.apply(table):
            return False
        self._update(table, slots, now_s)
        return True

    def _update(self, table: RouteTable, slots: Mapping[SessionId, Any], now_s: float) -> None:
        self.destinations.clear()
        self.era = object()
        self.index.apply(table)
        serving = self._live.get(table.service_id)
        entry = self.tables.get(table.service_id)
        if entry is None:
            if serving is not None:
                del self._live[table.service_id]
                serving.end()
        elif serving is None:
            made = self._live[table.service_id] = self._make(entry)
            made.update(entry, slots, now_s)
        else:
            serving.update(entry, slots, now_s)

    def by_name(self, name: str) -> Serving | None:
        """Return the service with this name (path segment and host label)."""
        return self._of(self.tables.by_name(name))

    def by_port(self, port: int) -> Serving | None:
        """Return the service that has this port for its own."""
        return self._of(self.tables.by_port(port))

    def by_id(self, service_id: ServiceId) -> Serving | None:
        """Return the service with this id."""
        return self._live.get(service_id)

    def _of(self, entry: Entry | None) -> Serving | None:
        return self._live.get(entry.table.service_id) if entry is not None else None

    def __iter__(self) -> Iterator[Serving]:
        return iter(self._live.values())
