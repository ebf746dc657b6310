"""Builds the app-proxy out of its parts: the only file that constructs them."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

import structlog
from prometheus_client import REGISTRY

from headrace.appproxy import metrics
from headrace.appproxy.admin import admin_app
from headrace.appproxy.bus_link import BusLink
from headrace.appproxy.domain.ejection import Ejections
from headrace.appproxy.forward.listeners import Listeners
from headrace.appproxy.forward.parts import Parts
from headrace.appproxy.forward.server import Forwarder
from headrace.appproxy.forward.upstream import open_upstreams
from headrace.appproxy.load import Load
from headrace.appproxy.record import Seen
from headrace.appproxy.report import EVERY, Reporter
from headrace.appproxy.settings import Settings
from headrace.appproxy.table import Tables
from headrace.appproxy.table_store import TableStore
from headrace.appproxy.tokens import TokenGate
from headrace.common.bus.connect import Bus
from headrace.common.contracts.ids import SessionId
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.runtime.clock import utc_now
from headrace.common.runtime.loop import Loop
from headrace.common.runtime.service import Task
from headrace.common.web.app import Check, WebServer

log = structlog.get_logger()
_SAVE_PAUSE = timedelta(milliseconds=100)


@dataclass(frozen=True, slots=True)
class AppProxy:
    """The built service: `tasks` run it; they are stopped in reverse order, so traffic ends first and the admin pages last."""

    tasks: list[Task]
    listeners: Listeners
    admin: WebServer
    tables: Tables
    load: Load
    bus: Bus


@asynccontextmanager
async def build(settings: Settings) -> AsyncIterator[AppProxy]:
    """An app-proxy that already has the tables from disk. Raises OSError when the data folder cannot be used."""
    async with AsyncExitStack() as stack:
        chance = random.random  # choosing replicas and log samples needs no secrecy
        tables = Tables()
        store = TableStore(settings.data_dir / "routes")
        stored = await asyncio.to_thread(store.load_into, tables)
        log.info("tables_loaded", count=stored)
        bus = Bus()
        stack.push_async_callback(bus.close)
        ejections = Ejections()
        seen = Seen(access_log_share=settings.access_log_share, chance=chance)

        def on_idle(session_id: SessionId) -> None:
            if session_id in tables.draining() or session_id not in tables.sessions():
                reports.poke()

        load = Load(on_idle)
        upstreams = await stack.enter_async_context(
            open_upstreams(
                connect_timeout_s=settings.connect_timeout_s,
                keepalive_s=settings.replica_keepalive_s,
                max_line_bytes=settings.max_line_bytes,
                max_header_bytes=settings.max_header_bytes,
                max_headers=settings.max_headers,
            )
        )
        gate = TokenGate(remembered=settings.remembered_tokens)
        forwarder = Forwarder(
            Parts(settings, tables, load, ejections, gate, seen, upstreams, chance, utc_now, asyncio.Event())
        )
        listeners = Listeners(forwarder, settings, tables)
        reporter = Reporter(
            proxy_id=settings.id,
            url=lambda: settings.advertise_url or f"http://{settings.listen_host}:{listeners.port}",
            bus=bus,
            tables=tables,
            load=load,
            seen=seen,
            ejections=ejections,
            clock=utc_now,
            monotonic=time.monotonic,
        )
        reports = Loop("proxy-report", reporter.report, every=EVERY)
        samples = Loop("proxy-metrics", reporter.sample, every=EVERY)

        async def save() -> None:
            with metrics.STORE_FAILURES.count_exceptions():
                await store.save(tables)

        saving = Loop("table-store", save, every=timedelta(seconds=30), pause=_SAVE_PAUSE)

        async def deliver(table: RouteTable) -> None:
            if tables.apply(table):
                reports.poke()
                listeners.poke()
                saving.poke()

        link = BusLink(settings, bus, deliver)
        admin = WebServer(
            admin_app(
                checks=_checks(forwarder, listeners, link, tables),
                warnings={
                    "bus": lambda: None if bus.connected else "not connected: serving from the last tables",
                    "own-ports": lambda: "; ".join(f"{p}: {why}" for p, why in listeners.failed.items()) or None,
                },
                tables=tables,
                load=load,
                ejections=ejections,
                monotonic=time.monotonic,
            ),
            host=settings.admin_host,
            port=settings.admin_port,
            name="admin",
        )

        def in_flight() -> dict[tuple[str, str], int]:
            live = {**load.sessions(), **tables.sessions()}
            names = {service_id: e.table.name if (e := tables.get(service_id)) else "" for service_id in live.values()}
            return {(names[service_id], str(s)): load.in_flight(s) for s, service_id in live.items()}

        gauge = metrics.InFlight(in_flight)
        REGISTRY.register(gauge)
        stack.callback(REGISTRY.unregister, gauge)
        tasks: list[Task] = [admin, saving, link, samples, reports, listeners]
        yield AppProxy(tasks, listeners, admin, tables, load, bus)
        try:
            await store.save(tables)
        except OSError as error:  # the bus still has them
            log.warning("tables_not_saved", error=str(error))


def _checks(forwarder: Forwarder, listeners: Listeners, link: BusLink, tables: Tables) -> dict[str, Check]:
    def traffic() -> str | None:
        if forwarder.stopping:
            return "stopping"
        return None if listeners.started.is_set() else "not listening yet"

    def routes() -> str | None:
        return None if link.synced or len(tables) else "no route tables: none on disk, and the bus was not read yet"

    return {"traffic": traffic, "tables": routes}
