"""Fake app-proxy on the real bus, without traffic."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import LastValues
from headrace.common.bus.publish import publish
from headrace.common.contracts.ids import ServiceId, SessionId
from headrace.common.contracts.messages.reports import (
    DrainingRoute,
    DrainReceipt,
    ProxyReport,
)
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.runtime.clock import utc_now


class FakeAppProxy:
    """Fake app-proxy: applies route tables and reports them.

    `in_flight` requests are open on each draining route without a receipt.

    Of a route with a receipt those requests are open that have not ended; it is reported also after its drain.
    """

    def __init__(self, bus: Bus, proxy_id: str = "proxy-1") -> None:
        self.id = proxy_id
        self._bus = bus
        self.receipts: dict[SessionId, DrainReceipt] = {}
        self.tables: dict[ServiceId, RouteTable] = {}
        self.history: list[RouteTable] = []
        self.in_flight = 0
        self._stop = asyncio.Event()

    async def _apply(self, table: RouteTable) -> None:
        known = self.tables.get(table.service_id)
        if known is None or table.generation > known.generation:
            self.tables[table.service_id] = table
            self.history.append(table)
            await self.report()

    async def report(self) -> None:
        drained = {r.session_id for table in self.tables.values() for r in table.routes if r.state == "draining"}
        draining = tuple(self._draining(session_id) for session_id in sorted(drained | set(self.receipts)))
        generations = {service: table.generation for service, table in self.tables.items()}
        await publish(
            self._bus,
            ProxyReport(
                proxy_id=self.id, sent_at=utc_now(), url="http://p", generations=generations, draining=draining
            ),
        )

    def _draining(self, session_id: SessionId) -> DrainingRoute:
        receipt = self.receipts.get(session_id)
        if receipt is None:
            return DrainingRoute(session_id=session_id, in_flight=self.in_flight)
        open_now = receipt.started - receipt.finished - receipt.retried - receipt.failed - receipt.cut
        return DrainingRoute(session_id=session_id, in_flight=open_now, receipt=receipt)

    def serving(self, service: ServiceId) -> int:
        table = self.tables.get(service)
        return sum(r.health == "healthy" and r.state == "active" for r in table.routes) if table else 0

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[FakeAppProxy]:
        watch = LastValues(self._bus, RouteTable, self._apply)
        tasks = [asyncio.create_task(watch.run()), asyncio.create_task(self._reporting())]
        yield self
        watch.stop()
        self._stop.set()
        await asyncio.gather(*tasks)

    async def _reporting(self) -> None:
        while not self._stop.is_set():
            await self.report()
            try:
                async with asyncio.timeout(0.2):
                    await self._stop.wait()
            except TimeoutError:
                continue
