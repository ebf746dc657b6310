"""Builds the app-proxy out of its parts: the only file that constructs them (a worker's are built in plane_wiring)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from prometheus_client import REGISTRY

from headrace.appproxy import exposition, table
from headrace.appproxy.admin import admin_app
from headrace.appproxy.bus_link import BusLink
from headrace.appproxy.file_limit import Room, allowed
from headrace.appproxy.kept_sockets import KeptSockets
from headrace.appproxy.listeners import Listeners
from headrace.appproxy.report import EVERY, Reporter
from headrace.appproxy.settings import Settings
from headrace.appproxy.stats import StatsBook
from headrace.appproxy.table import Tables
from headrace.appproxy.table_store import FOLDER, TableStore
from headrace.appproxy.workers.handover import Handover
from headrace.appproxy.workers.processes import WorkerProcesses
from headrace.common.bus.connect import Bus
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.runtime.clock import utc_now
from headrace.common.runtime.loop import Loop
from headrace.common.runtime.service import Task
from headrace.common.web.app import Check, WebServer

if TYPE_CHECKING:
    from headrace.appproxy.local import LocalTraffic

    Traffic = LocalTraffic | WorkerProcesses

log = structlog.get_logger()
_SAVE_PAUSE = timedelta(milliseconds=100)
_REPORT_PAUSE = timedelta(milliseconds=20)


@dataclass(frozen=True, slots=True)
class AppProxy:
    """The built service: `tasks` run it; they are stopped in reverse order, so the ports close first, then the
    traffic ends, and the admin pages last."""

    tasks: list[Task]
    listeners: Listeners
    admin: WebServer
    tables: Tables
    traffic: Traffic
    bus: Bus
    deliver: Callable[[RouteTable], bool]
    """Puts a table in use, as if the bus had brought it; False if it is not newer."""


@asynccontextmanager
async def build(settings: Settings, kept: KeptSockets | None = None) -> AsyncIterator[AppProxy]:
    """An app-proxy that already has the tables from disk. Raises OSError when the data folder cannot be used.

    `kept`: listening sockets that came with the start, and who keeps further ones.
    """
    async with AsyncExitStack() as stack:
        tables = Tables()
        store = await _stored(settings, tables)
        room = _room(settings)
        log.info("data_plane", workers=settings.workers, compiled=not (table.__file__ or "").endswith(".py"))
        bus = Bus()
        stack.push_async_callback(bus.close)
        book = StatsBook()
        forgetting = exposition.Forgetting(book)
        traffic = _traffic(settings, tables, book)
        listeners = Listeners(
            settings, tables, workers=settings.workers, opened=traffic.opened, closed=traffic.closed, kept=kept
        )
        handover = Handover(settings.data_dir)
        listeners.serving = handover.serves
        if isinstance(traffic, WorkerProcesses) and kept is not None and kept.kept:
            traffic.handover = handover.word
        reporter = Reporter(
            proxy_id=settings.id,
            url=lambda: settings.advertise_url or f"http://{settings.listen_host}:{listeners.port}",
            bus=bus,
            tables=tables,
            book=book,
            look=traffic.look,
            generations=traffic.generations,
            ports_failed=lambda: listeners.failed,
            clock=utc_now,
            monotonic=time.monotonic,
        )

        async def sample() -> None:
            live = {str(session_id) for session_id in tables.sessions()} | {str(t.service_id) for t in tables}
            forgetting.sweep(live | traffic.look().open.keys(), time.monotonic())
            exposition.TABLES.set(len(tables))
            exposition.BUS_CONNECTED.set(bus.connected)
            exposition.CONNECTION_LIMIT.set(room.connections)
            await reporter.sample()

        async def save() -> None:
            with exposition.STORE_FAILURES.count_exceptions():
                await store.save(tables)

        reports = Loop("proxy-report", reporter.report, every=EVERY, pause=_REPORT_PAUSE)
        traffic.notify = reports.poke
        samples = Loop("proxy-metrics", sample, every=EVERY)
        saving = Loop("table-store", save, every=timedelta(seconds=30), pause=_SAVE_PAUSE)

        def deliver(table: RouteTable) -> bool:
            if not tables.apply(table):
                return False
            traffic.apply(table)
            for loop in (reports, listeners, saving):
                loop.poke()
            return True

        async def heard(table: RouteTable) -> None:
            deliver(table)

        link = BusLink(settings, bus, heard)
        listeners.first = link.first_look
        admin = WebServer(
            admin_app(
                checks=_checks(traffic, listeners, link, tables),
                warnings={
                    "bus": lambda: None if bus.connected else "not connected: serving from the last tables",
                    "open-files": lambda: room.words,
                    "connections": lambda: room.full(traffic.look().connections),
                    "own-ports": lambda: "; ".join(f"{p}: {why}" for p, why in listeners.failed.items()) or None,
                },
                tables=tables,
                look=traffic.look,
            ),
            host=settings.admin_host,
            port=settings.admin_port,
            name="admin",
        )
        collector = exposition.Traffic(book, traffic.look, tables, traffic.alive)
        REGISTRY.register(collector)
        stack.callback(REGISTRY.unregister, collector)
        tasks: list[Task] = [admin, saving, link, samples, reports, traffic, listeners]
        yield AppProxy(tasks, listeners, admin, tables, traffic, bus, deliver)
        try:
            await store.save(tables)
        except OSError as error:  # the bus still has them
            log.warning("tables_not_saved", error=str(error))


async def _stored(settings: Settings, tables: Tables) -> TableStore:
    """Put the tables from disk in use."""
    store = TableStore(settings.data_dir / FOLDER)
    stored = await asyncio.to_thread(store.load_into, tables)
    log.info("tables_loaded", count=stored)
    return store


def _room(settings: Settings) -> Room:
    """Say once what the descriptors of a worker are enough for, where that is less than what is set."""
    room = Room.of(settings.workers, allowed(), settings.max_connections, settings.max_open_requests)
    if room.words is not None:
        log.warning("connections_bounded", why=room.words)
    return room


def _traffic(settings: Settings, tables: Tables, book: StatsBook) -> Traffic:
    """Return what carries the traffic."""
    if settings.workers:
        return WorkerProcesses(settings, list(tables), book)
    from headrace.appproxy.local import LocalTraffic  # noqa: PLC0415 - a parent of workers does without all that they work with

    return LocalTraffic(settings, list(tables), book)


def _checks(traffic: Traffic, listeners: Listeners, link: BusLink, tables: Tables) -> dict[str, Check]:
    def serving() -> str | None:
        if traffic.stopping:
            return "stopping"
        return None if listeners.started.is_set() and traffic.alive() else "not listening yet"

    def routes() -> str | None:
        return None if link.synced or len(tables) else "no route tables: none on disk, and the bus was not read yet"

    return {"traffic": serving, "tables": routes}
