"""Subscription to the route tables on the message bus, and answers about own ports.

It runs in the background: serving never waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from headrace.appproxy.control.listeners import Listeners
from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import LastValues, answering
from headrace.common.contracts.ids import ProxyId
from headrace.common.contracts.messages.own_ports import OwnPortRequest
from headrace.common.contracts.messages.routes import RouteTable


class TableFeed:
    """Subscription that delivers every route table, and tells when all stored tables have been read."""

    def __init__(self, bus: Bus, deliver: Callable[[RouteTable], Awaitable[None]], *, first_tables_s: float) -> None:
        self._tables = LastValues(bus, RouteTable, deliver)
        self._first_tables_s = first_tables_s

    @property
    def synced(self) -> bool:
        """True once all stored tables were read at least once since the start."""
        return self._tables.synced.is_set()

    async def wait_for_tables(self) -> None:
        """Wait until all stored tables were read, at most `first_tables_s`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._first_tables_s):
                await self._tables.synced.wait()

    async def serve(self) -> None:
        """Deliver tables until cancelled. Raises BusUnavailable."""
        await self._tables.run()


async def serve(bus: Bus, proxy_id: ProxyId, feed: TableFeed, listeners: Listeners) -> None:
    """Read tables, and answer managers about own ports, until cancelled. Raises BusUnavailable."""
    subject = OwnPortRequest.subject_for(proxy_id=proxy_id)
    async with answering(bus, OwnPortRequest, listeners.answer, subject=subject):
        await feed.serve()
