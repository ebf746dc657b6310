"""Connection to the message bus, and the subscription to route tables.

Found and kept in the background: serving never needs it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from headrace.appproxy.settings import Settings
from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import LastValues
from headrace.common.contracts.messages.routes import RouteTable
from headrace.common.contracts.problems import BusUnavailable

log = structlog.get_logger()
_FIRST_WAIT_S = 0.25
_MOST_WAIT_S = 5.0


class BusLink:
    """Connects, with backoff until it works, then delivers every route table. Afterwards the connection repairs itself."""

    name = "bus"

    def __init__(self, settings: Settings, bus: Bus, deliver: Callable[[RouteTable], Awaitable[None]]) -> None:
        self._settings = settings
        self._bus = bus
        self._tables = LastValues(bus, RouteTable, deliver)
        self._stop = asyncio.Event()

    @property
    def synced(self) -> bool:
        """Whether all stored tables were read at least once since the start."""
        return self._tables.synced.is_set()

    async def wait_for_tables(self) -> None:
        """Return once all stored tables were read, or `first_tables_s` are over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._settings.first_tables_s):
                await self._tables.synced.wait()

    def stop(self) -> None:
        """End run()."""
        self._stop.set()
        self._tables.stop()

    async def run(self) -> None:
        """Deliver until stop()."""
        wait_s = _FIRST_WAIT_S
        while not self._stop.is_set():
            try:
                await self._connect()
                await self._tables.run()
            except BusUnavailable as problem:
                log.warning("bus_unreachable", why=problem.detail, again_in_s=wait_s)
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._stop.wait()
            wait_s = min(_MOST_WAIT_S, wait_s * 2)

    async def _connect(self) -> None:
        """Connect if that has not worked yet. Raises BusUnavailable."""
        if self._bus.connected:
            return
        connecting = asyncio.ensure_future(
            self._bus.open(
                self._settings.nats_url,
                user=self._settings.nats_user,
                password=self._settings.nats_password.get_secret_value(),
                name=f"appproxy-{self._settings.id}",
            )
        )
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait([connecting, stopping], return_when=asyncio.FIRST_COMPLETED)
            if connecting.done():
                connecting.result()
        finally:
            for future in (connecting, stopping):
                future.cancel()
            await asyncio.gather(connecting, stopping, return_exceptions=True)
