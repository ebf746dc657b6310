"""A worker inside the parent process, for development and tests (`workers = 0`).

The same data plane, without processes around it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.dataplane.server import DataPlane
from headrace.appproxy.dataplane.telemetry.stats import StatsRegistry
from headrace.appproxy.dataplane.wiring import build_data_plane
from headrace.appproxy.file_limit import descriptor_limit
from headrace.appproxy.ipc.snapshot import TrafficSnapshot
from headrace.appproxy.ipc.usage import UsageSums
from headrace.appproxy.settings import Settings
from headrace.appproxy.worker.shares import settings_for
from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.runtime.clock import Clocks


class InlineWorker:
    """Worker inside the parent process: one data plane. Its counters are added to `registry` and `usage` with each
    snapshot."""

    name = "traffic"

    def __init__(
        self, settings: Settings, tables: list[RouteTable], registry: StatsRegistry, usage: UsageSums, clocks: Clocks
    ) -> None:
        self._settings = settings
        self._registry = registry
        self._usage = usage
        self._stop = asyncio.Event()
        self.notify: Callable[[], None] = lambda: None
        """Called at changes that are to be reported at once."""
        self.ready = asyncio.Event()
        self.stopping = False
        own = RouteTables()
        for table in tables:
            own.apply(table)
        mine = settings_for(settings, 1, descriptors=descriptor_limit())
        self.plane: DataPlane = build_data_plane(mine, own, notify=lambda: self.notify(), clocks=clocks)  # noqa: PLW0108 - it is set later

    async def run(self) -> None:
        """Serve until stop(), then drain within the grace. The data plane is closed also when this is cancelled."""
        await self.plane.start()
        try:
            self.ready.set()
            await self._stop.wait()
            await self.plane.drain(self._settings.shutdown_grace_s)
        finally:
            await self.plane.close()

    def stop(self) -> None:
        """End run()."""
        self.stopping = True
        self._stop.set()

    def apply(self, table: RouteTable) -> None:
        """Apply a table."""
        self.plane.apply(table, {})

    async def listen(self, own_port: int | None, sockets: list[socket.socket]) -> None:
        """Accept connections on this socket."""
        await self.plane.listen(sockets[0].dup(), own_port)

    async def unlisten(self, own_port: int) -> None:
        """Stop accepting on this own port."""
        await self.plane.unlisten(own_port)

    def snapshot(self) -> TrafficSnapshot:
        """Return open, queued and draining requests, and add the counters to the registry."""
        self._registry.merge(self.plane.context.stats.take())
        self._usage.add(self.plane.context.usage.take())
        return self.plane.snapshot()

    def generations(self) -> dict[ServiceId, int]:
        """Return the applied generation of each service's table."""
        return self.plane.backends.tables.generations()

    def alive(self) -> int:
        """Return the number of workers that are ready: 1 while it runs, else 0."""
        return int(self.ready.is_set() and not self.stopping)
