"""Composition root of the parent process: the only file that constructs its objects.

A worker's data plane is constructed in dataplane/wiring.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from prometheus_client import REGISTRY

from headrace.appproxy.control import exposition
from headrace.appproxy.control.admin import admin_app
from headrace.appproxy.control.bus import TableFeed, serve
from headrace.appproxy.control.listeners import Listeners
from headrace.appproxy.control.reporting import EVERY, Reporter
from headrace.appproxy.control.socket_activation import InheritedSockets
from headrace.appproxy.control.tables_on_disk import FOLDER, TableStore
from headrace.appproxy.control.traffic import TrafficSender
from headrace.appproxy.control.traffic_windows import TrafficCounter
from headrace.appproxy.control.usage import UsageSender
from headrace.appproxy.control.workers.pool import WorkerPool
from headrace.appproxy.dataplane import route_table
from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.dataplane.telemetry.stats import StatsRegistry
from headrace.appproxy.file_limit import ConnectionCapacity, descriptor_limit
from headrace.appproxy.ipc.handover import Handover
from headrace.appproxy.ipc.usage import UsageSums
from headrace.appproxy.ipc.usage_files import FOLDER as USAGE_FOLDER
from headrace.appproxy.ipc.usage_files import UsageFiles
from headrace.appproxy.settings import Settings, identity_file
from headrace.common.bus.connect import Bus, Login
from headrace.common.bus.link import Link
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.readiness import AppProxyCheck, AppProxyWarning, ReadinessCheck
from headrace.common.joining.renewal import identity_loop, keep_identity
from headrace.common.runtime.clock import SYSTEM_CLOCKS, Clocks
from headrace.common.runtime.instance import this_instance
from headrace.common.runtime.loop import Loop
from headrace.common.runtime.service import Task
from headrace.common.web.app import Check, WebServer

if TYPE_CHECKING:
    from headrace.appproxy.worker.inline import InlineWorker

    Traffic = InlineWorker | WorkerPool

log = structlog.get_logger()
_SAVE_PAUSE = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True)
class AppProxy:
    """The built service. `tasks` run it and are stopped in reverse order: ports close first, then requests drain, then
    the admin server ends.
    """

    tasks: list[Task]
    listeners: Listeners
    admin: WebServer
    tables: RouteTables
    traffic: Traffic
    bus: Bus
    deliver: Callable[[RouteTable], bool]
    """Applies a table, as if the bus had delivered it; False if it is not newer."""


@asynccontextmanager
async def build(
    settings: Settings, inherited: InheritedSockets | None = None, *, clocks: Clocks = SYSTEM_CLOCKS
) -> AsyncIterator[AppProxy]:
    """Build an app-proxy that already serves the tables on disk. Raises OSError when the data folder cannot be used.

    `inherited`: listening sockets that came with the start, and the descriptor store for further ones.
    `clocks`: of the parent and of an inline worker; worker processes have the system's.
    """
    async with AsyncExitStack() as stack:
        tables = RouteTables()
        store = await _stored(settings, tables)
        capacity = _capacity(settings)
        log.info(
            "data_plane_started", workers=settings.workers, compiled=not (route_table.__file__ or "").endswith(".py")
        )
        bus = Bus()
        stack.push_async_callback(bus.close)
        stats = StatsRegistry()
        forgetting = exposition.StatsExpiry(stats)
        sums = UsageSums()
        traffic = _traffic(settings, tables, stats, sums, clocks)
        listeners = Listeners(
            settings,
            tables,
            workers=settings.workers,
            listen=traffic.listen,
            unlisten=traffic.unlisten,
            inherited=inherited,
        )
        handover = Handover(settings.data_dir)
        listeners.on_serving = handover.announce
        if isinstance(traffic, WorkerPool) and inherited is not None and inherited.has_store:
            traffic.handover = handover.instance_id
        started_at = clocks.utc()
        reporter = Reporter(
            proxy_id=settings.id,
            url=lambda: settings.advertise_url or f"http://{settings.listen_host}:{listeners.port}",
            admin_address=settings.admin_address,
            instance=lambda: this_instance(admin, started_at, stopping=traffic.stopping),
            bus=bus,
            tables=tables,
            registry=stats,
            snapshot=traffic.snapshot,
            generations=traffic.generations,
            ports_failed=lambda: listeners.failed,
            ports_open=lambda: listeners.open_ports,
            domain=(settings.domain or "").lower().strip("."),
            clock=clocks.utc,
            monotonic=clocks.monotonic,
        )

        async def sample() -> None:
            replicas = tables.sessions().keys() | traffic.snapshot().in_flight.keys()
            forgetting.sweep(replicas, {table.service_id for table in tables}, clocks.monotonic())
            exposition.TABLES.set(len(tables))
            exposition.BUS_CONNECTED.set(bus.connected)
            exposition.CONNECTION_LIMIT.set(capacity.connections)
            await reporter.sample()

        async def save() -> None:
            with exposition.STORE_FAILURES.count_exceptions():
                await store.save(tables)

        usage = UsageSender(
            proxy_id=settings.id,
            bus=bus,
            sums=sums,
            collect=traffic.snapshot,
            files=await _usage_files(settings),
            monotonic=clocks.monotonic,
        )
        traffic.notify = reporter.poke
        samples = Loop("metrics-report", sample, every=EVERY)
        saving = Loop("tables-on-disk", save, every=timedelta(seconds=30), pause=_SAVE_PAUSE)

        def deliver(table: RouteTable) -> bool:
            if not tables.apply(table):
                return False
            traffic.apply(table)
            for loop in (reporter, listeners, saving):
                loop.poke()
            return True

        async def heard(table: RouteTable) -> None:
            deliver(table)

        feed = TableFeed(bus, heard, first_tables_s=settings.first_tables_s)
        link = Link(bus, _login(settings), lambda: serve(bus, settings.id, feed, listeners))
        listeners.before_serving = feed.wait_for_tables
        admin = WebServer(
            admin_app(
                checks=_checks(traffic, listeners, feed, tables),
                warnings={
                    AppProxyWarning.BUS: lambda: (
                        f"{away}; serving from the last tables" if (away := link.check()) else None
                    ),
                    AppProxyWarning.OPEN_FILES: lambda: capacity.warning,
                    AppProxyWarning.CONNECTIONS: lambda: capacity.full(traffic.snapshot().connections),
                    AppProxyWarning.LISTENERS: lambda: (
                        "; ".join(f"{p}: {why}" for p, why in listeners.failed.items()) or None
                    ),
                },
                tables=tables,
                snapshot=traffic.snapshot,
            ),
            host=settings.admin_host,
            port=settings.admin_port,
            name="admin",
        )
        stack.enter_context(_exposed(exposition.TrafficCollector(stats, traffic.snapshot, tables, traffic.alive)))
        tasks: list[Task] = [
            admin,
            saving,
            *_identity(settings, bus, clocks),
            link,
            usage,
            TrafficSender(
                proxy_id=settings.id,
                bus=bus,
                counter=TrafficCounter(stats, tables),
                snapshot=traffic.snapshot,
                clock=clocks.utc,
                monotonic=clocks.monotonic,
            ),
            samples,
            reporter,
            traffic,
            listeners,
        ]
        yield AppProxy(tasks, listeners, admin, tables, traffic, bus, deliver)
        try:
            await store.save(tables)
        except OSError as error:  # the bus still has them
            log.warning("tables_not_saved", error=str(error))


@contextmanager
def _exposed(collector: exposition.TrafficCollector) -> Iterator[None]:
    """Have what it collects on the page of metrics."""
    REGISTRY.register(collector)
    try:
        yield
    finally:
        REGISTRY.unregister(collector)


def _identity(settings: Settings, bus: Bus, clocks: Clocks) -> tuple[Loop, ...]:
    """Return the loop that renews the identity on the bus."""
    kept = identity_file(settings)
    return identity_loop(settings.nats_credentials, kept, settings.manager_urls, settings.ca_file, bus, clocks.utc)


def _login(settings: Settings) -> Login:
    password = settings.nats_password.get_secret_value()
    return Login(
        settings.nats_url,
        settings.nats_user,
        password,
        f"appproxy-{settings.id}",
        credentials=identity_file(settings) or settings.nats_credentials,
        ca_file=settings.ca_file,
    )


async def _stored(settings: Settings, tables: RouteTables) -> TableStore:
    """Apply the tables from disk, and keep the identity there too. Raises OSError."""
    await asyncio.to_thread(keep_identity, settings.nats_credentials, identity_file(settings))
    store = TableStore(settings.data_dir / FOLDER)
    stored = await asyncio.to_thread(store.load_into, tables)
    log.info("tables_loaded", count=stored)
    return store


async def _usage_files(settings: Settings) -> UsageFiles:
    """Return the folder of usage. Raises OSError."""
    files = UsageFiles(settings.data_dir / USAGE_FOLDER)
    await asyncio.to_thread(files.prepare)
    return files


def _capacity(settings: Settings) -> ConnectionCapacity:
    """Log a warning if the descriptor limit allows fewer connections than configured; return the capacity."""
    capacity = ConnectionCapacity.of(
        settings.workers, descriptor_limit(), settings.max_connections, settings.max_open_requests
    )
    if capacity.warning is not None:
        log.warning("downstream_limit_reduced", why=capacity.warning)
    return capacity


def _traffic(
    settings: Settings, tables: RouteTables, registry: StatsRegistry, usage: UsageSums, clocks: Clocks
) -> Traffic:
    """Return the worker pool, or the inline worker where `workers` is 0."""
    if settings.workers:
        return WorkerPool(settings, list(tables), registry, usage)
    from headrace.appproxy.worker.inline import InlineWorker  # noqa: PLC0415 - a parent of workers does not need the data plane's modules

    return InlineWorker(settings, list(tables), registry, usage, clocks)


def _checks(
    traffic: Traffic, listeners: Listeners, feed: TableFeed, tables: RouteTables
) -> dict[ReadinessCheck, Check]:
    def serving() -> str | None:
        if traffic.stopping:
            return "stopping"
        return None if listeners.started.is_set() and traffic.alive() else "not listening yet"

    def routes() -> str | None:
        return None if feed.synced or len(tables) else "no route tables: none on disk, and the bus was not read yet"

    return {AppProxyCheck.TRAFFIC: serving, AppProxyCheck.TABLES: routes}
