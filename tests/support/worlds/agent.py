"""An agent in this process on a fake runtime, which no bus tells of plans: the test does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, cast

import aiohttp

from headrace.agent.gpu.simulated import SimulatedGpus
from headrace.agent.wiring import Agent, Edges, make_agent
from headrace.common.bus.connect import Bus
from headrace.common.contracts.ids import KernelId
from headrace.common.contracts.messages.plans import KernelSpec, NodePlan
from headrace.common.contracts.messages.reports import KernelReport
from headrace.common.runtime.service import run_tasks
from tests.support.factories.settings import agent_settings
from tests.support.fakes.clock import StoppableClock
from tests.support.fakes.runtime import FakeHealthChecker, FakeRuntime

if TYPE_CHECKING:
    from headrace.agent.checks import HealthChecker


class AgentWorld:
    """A machine: its runtime and data folder outlive the agents that a test starts on it, one after another."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = StoppableClock()
        self.runtime = FakeRuntime(self.clock.utc)
        self.checker = FakeHealthChecker()
        self.generation = 0
        self._agent: Agent | None = None

    @property
    def agent(self) -> Agent:
        """The agent that runs, or ran last."""
        assert self._agent is not None, "start it first"
        return self._agent

    @asynccontextmanager
    async def running(self, **settings: object) -> AsyncIterator[AgentWorld]:
        """Run what starts, checks and ends kernels, until left."""
        known = agent_settings(self.folder, **settings)
        known.data_dir.mkdir(exist_ok=True)
        stop = asyncio.Event()
        async with aiohttp.ClientSession() as http:
            gpus = SimulatedGpus(known.id, count=0, model="none", memory_bytes=1)
            edges = Edges(self.runtime, gpus, Bus(), cast("HealthChecker", self.checker), http, self.clock.clocks)
            agent = self._agent = make_agent(known, edges)
            tasks = asyncio.create_task(run_tasks([agent.prober, agent.converger], stop))
            try:
                yield self
            finally:
                stop.set()
                await tasks
                agent.ports.close()

    async def plan(self, *specs: KernelSpec) -> None:
        """Tell the agent its next plan."""
        self.generation += 1
        await self.agent.plans.offer(NodePlan(agent_id="agent-1", generation=self.generation, kernels=specs))

    def report(self, kernel_id: KernelId) -> KernelReport | None:
        """Return what the agent would report of a kernel."""
        return next((one for one in self.agent.kernels.reports() if one.kernel_id == kernel_id), None)
