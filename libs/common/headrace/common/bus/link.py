"""A service's connection to the message bus, as a task: connects in the background, so that a service starts without
it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from nats.errors import Error as NatsError

from headrace.common.bus.connect import Bus, Login
from headrace.common.contracts.problems import BusUnavailable
from headrace.common.runtime.cancelling import cancel

log = structlog.get_logger()
FIRST_WAIT_S = 0.25
MAX_WAIT_S = 5.0
UNREADY = (BusUnavailable, NatsError, TimeoutError, OSError)


class Link:
    """Connects to the bus, with retries, then runs `serve` (the service's subscriptions and replies), which only
    returns by cancellation.

    A lost connection reconnects by itself, with its subscriptions. If `serve` fails with a bus error (such as a
    time-out), or the server ends the connection for good, it is started again; it closes what it opened. The back-off
    between attempts grows from FIRST_WAIT_S to MAX_WAIT_S, and is reset by a connection that held longer than that, so
    that a fleet does not overload a bus that returns.
    """

    name = "bus"

    def __init__(self, bus: Bus, login: Login, serve: Callable[[], Awaitable[None]]) -> None:
        self._bus = bus
        self._login = login
        self._serve = serve
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End run(); what `serve` opened is closed in reverse. The connection stays open for tasks that stop later."""
        self._stop.set()

    def check(self) -> str | None:
        """Readiness check: None, or since when the bus is unreachable, and why."""
        return self._bus.unreachable()

    async def run(self) -> None:
        """Serve until stop()."""
        async with asyncio.TaskGroup() as group:
            keeping = group.create_task(self._keep(), name="bus-serve")
            await self._stop.wait()
            await cancel(keeping)

    async def _serve_while_open(self) -> None:
        """Serve until that fails. Raises TimeoutError once the connection ended for good, as when the server refuses the identity."""
        async with asyncio.timeout(None) as held:

            def end(ended: asyncio.Task[bool]) -> None:
                if not ended.cancelled():
                    with suppress(RuntimeError):  # it ended by itself at the same moment
                        held.reschedule(asyncio.get_running_loop().time())

            watching = asyncio.create_task(self._bus.ended.wait(), name="bus-ended")
            watching.add_done_callback(end)
            try:
                await self._serve()
            finally:
                watching.cancel()

    async def _keep(self) -> None:
        clock = asyncio.get_running_loop().time
        wait_s = FIRST_WAIT_S
        while True:
            began = clock()
            try:
                if not self._bus.opened:
                    await self._bus.open(self._login)
                await self._serve_while_open()
            except UNREADY as error:
                wait_s = FIRST_WAIT_S if clock() - began > MAX_WAIT_S else wait_s
                why = error.detail if isinstance(error, BusUnavailable) else str(error) or type(error).__name__
                log.warning("bus_unreachable", why=why, again_in_s=wait_s)
            await asyncio.sleep(wait_s)
            wait_s = min(MAX_WAIT_S, wait_s * 2)
