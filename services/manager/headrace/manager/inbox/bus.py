"""Bus adapter of the manager: its subscriptions, its answers to requests, and the streams, which it creates.

Missing streams are created again, so that a bus that lost its data gets them back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack

import structlog

from headrace.common.bus.connect import Bus, Login
from headrace.common.bus.consume import answering, subscribed
from headrace.common.bus.link import UNREADY, Link
from headrace.common.bus.newest import newest
from headrace.common.bus.streams import ensure_streams
from headrace.common.contracts.messages.autoscalers import AutoscalerReport
from headrace.common.contracts.messages.folder_access import FolderAccess, FolderAccessRequest
from headrace.common.contracts.messages.metrics import KernelMetrics
from headrace.common.contracts.messages.reports import NodeReport, ProxyReport
from headrace.common.contracts.messages.rulestates import RuleReport
from headrace.common.contracts.messages.scaling import ScaleReply, ScaleRequest
from headrace.common.contracts.messages.traffic import TrafficStored, TrafficWindow
from headrace.common.contracts.messages.usage import UsageBatch, UsageStored
from headrace.manager.inbox.app_proxies import AppProxyReports
from headrace.manager.inbox.instances import HeardInstances
from headrace.manager.inbox.kernel_samples import KernelSamples
from headrace.manager.inbox.reports import NodeReports
from headrace.manager.inbox.rule_outcomes import LastRuleOutcomes

log = structlog.get_logger()
GROUP = "managers"
RETRY_S = 1.0
CHECK_STREAMS_S = 30.0


class BusInbox:
    """Subscriptions of a manager, as a Task.

    Reports of machines go to one manager of the queue group; state kept in memory is subscribed to by all, as is each
    sign of life of a machine (`listening`).
    """

    name = "bus"

    def __init__(
        self,
        bus: Bus,
        login: Login,
        *,
        replicas: int,
        listening: Callable[[], AbstractAsyncContextManager[None]],
        nodes: NodeReports,
        proxies: AppProxyReports,
        outcomes: LastRuleOutcomes,
        instances: HeardInstances,
        scale: Callable[[ScaleRequest], Awaitable[ScaleReply]],
        folder_access: Callable[[FolderAccessRequest], Awaitable[FolderAccess]],
        usage: Callable[[UsageBatch], Awaitable[UsageStored]],
        traffic: Callable[[TrafficWindow], Awaitable[TrafficStored]],
        samples: KernelSamples,
        poke: Callable[..., None],
    ) -> None:
        self._bus = bus
        self._link = Link(bus, login, self._serve)
        self._listening = listening
        self._nodes = nodes
        self._proxies = proxies
        self._outcomes = outcomes
        self._instances = instances
        self._scale = scale
        self._folder_access = folder_access
        self._usage = usage
        self._traffic = traffic
        self._samples = samples
        self._poke = poke
        self._replicas = replicas
        self._ready = False
        self._error = "not asked yet"
        bus.on_reconnect(proxies.listening)

    def stop(self) -> None:
        """Make run() return."""
        self._link.stop()

    def check(self) -> str | None:
        """Readiness check: None, or why not ready."""
        return self._link.check() or (None if self._ready else f"NATS has not made the streams yet: {self._error}")

    async def run(self) -> None:
        """Subscribe until stop(); failures are retried."""
        await self._link.run()

    async def _serve(self) -> None:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._listening())
            await stack.enter_async_context(newest(self._bus, NodeReport, self._nodes.heard, queue=GROUP))
            await stack.enter_async_context(subscribed(self._bus, ProxyReport, self._proxy_heard))
            await stack.enter_async_context(subscribed(self._bus, AutoscalerReport, self._instances.autoscaler))
            await stack.enter_async_context(subscribed(self._bus, RuleReport, self._outcomes.heard))
            await stack.enter_async_context(answering(self._bus, ScaleRequest, self._scale, queue=GROUP))
            await stack.enter_async_context(answering(self._bus, FolderAccessRequest, self._folder_access, queue=GROUP))
            await stack.enter_async_context(answering(self._bus, UsageBatch, self._usage, queue=GROUP))
            await stack.enter_async_context(answering(self._bus, TrafficWindow, self._traffic, queue=GROUP))
            await stack.enter_async_context(subscribed(self._bus, KernelMetrics, self._samples.heard, queue=GROUP))
            self._proxies.listening()
            while True:  # noqa: ASYNC110 - the streams tell nobody that they are gone
                await asyncio.sleep(CHECK_STREAMS_S if await self._ensure_streams() else RETRY_S)

    async def _proxy_heard(self, report: ProxyReport) -> None:
        await self._instances.proxy(report)
        await self._proxies.heard(report)

    async def _ensure_streams(self) -> bool:
        """Create missing streams, and return whether all exist.

        A bus whose disk is full still carries reports, so the subscriptions stay.
        """
        if self._ready and not self._bus.connected:
            return True  # the next look is at the bus that came back
        try:
            await ensure_streams(self._bus, replicas=self._replicas)
        except UNREADY as error:
            self._error = str(error) or type(error).__name__
            log.warning("bus_not_ready", why=self._error)
            return False
        if not self._ready:
            self._ready = True
            self._poke("plans", "routes", "rules")
        return True
