"""The manager's side of the bus: connects (again and again at the start), makes the streams, listens and answers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress

import structlog
from nats.errors import Error as NatsError

from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import answering, subscribed
from headrace.common.bus.newest import newest
from headrace.common.bus.streams import ensure_streams
from headrace.common.contracts.messages.reports import NodeReport, ProxyReport
from headrace.common.contracts.messages.rulestates import RuleReport
from headrace.common.contracts.messages.scaling import ScaleRequest
from headrace.common.contracts.problems import BusUnavailable
from headrace.manager.reconcile.agents import Agents
from headrace.manager.reconcile.reports import NodeReports, Outcomes, Proxies
from headrace.manager.reconcile.scaling import Scaling

log = structlog.get_logger()
GROUP = "managers"
RETRY_S = 1.0
CHECK_STREAMS_S = 30.0


class BusSide:
    """A Task. Reports of machines go to one manager of the group; what is kept in memory is heard by all."""

    name = "bus"

    def __init__(
        self,
        bus: Bus,
        connect: Callable[[], Awaitable[None]],
        *,
        agents: Agents,
        nodes: NodeReports,
        proxies: Proxies,
        outcomes: Outcomes,
        scaling: Scaling,
        poke: Callable[..., None],
    ) -> None:
        self._bus = bus
        self._connect = connect
        self._agents = agents
        self._nodes = nodes
        self._proxies = proxies
        self._outcomes = outcomes
        self._scaling = scaling
        self._poke = poke
        self._stop = asyncio.Event()
        self._listening = False
        bus.on_reconnect(proxies.listening)

    def stop(self) -> None:
        """End run()."""
        self._stop.set()

    def check(self) -> str | None:
        """Readiness: None, or why not."""
        if not self._listening:
            return "not connected to NATS yet"
        return None if self._bus.connected else "the connection to NATS is lost"

    async def run(self) -> None:
        """Listen until stop(); what fails at the start is tried again."""
        while not self._stop.is_set():
            try:
                await self._listen()
            except (BusUnavailable, NatsError, TimeoutError, OSError) as error:
                log.warning("bus_not_ready", why=str(error) or type(error).__name__)
                await self._pause(RETRY_S)

    async def _listen(self) -> None:
        if not self._bus.connected:
            await self._connect()
        async with AsyncExitStack() as stack:
            await ensure_streams(self._bus)
            await stack.enter_async_context(self._agents.listening())
            await stack.enter_async_context(newest(self._bus, NodeReport, self._nodes.heard, queue=GROUP))
            await stack.enter_async_context(subscribed(self._bus, ProxyReport, self._proxies.heard))
            await stack.enter_async_context(subscribed(self._bus, RuleReport, self._outcomes.heard))
            await stack.enter_async_context(answering(self._bus, ScaleRequest, self._scaling.answer, queue=GROUP))
            self._listening = True
            self._proxies.listening()
            self._poke("plans", "routes", "rules")
            while not self._stop.is_set():
                await self._pause(CHECK_STREAMS_S)
                if self._bus.connected:  # a bus that lost its data gets its streams back
                    await ensure_streams(self._bus)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
