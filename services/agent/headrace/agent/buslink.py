"""The agent's place on the bus: hears its plan, answers questions; the agent works without it too."""

from __future__ import annotations

import asyncio

import structlog

from headrace.agent.logs import LogServer
from headrace.agent.plans import Plans
from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import LastValues, answering
from headrace.common.contracts.messages.logs import LogsRequest
from headrace.common.contracts.messages.plans import NodePlan
from headrace.common.contracts.problems import BusUnavailable

log = structlog.get_logger()
_AGAIN_S = 1.0


class BusLink:
    """Connects, as often as it takes, and stays connected."""

    name = "bus"

    def __init__(
        self, bus: Bus, plans: Plans, logs: LogServer, *, url: str, user: str, password: str, agent_id: str
    ) -> None:
        self._bus = bus
        self._plans = plans
        self._logs = logs
        self._url = url
        self._user = user
        self._password = password
        self._agent_id = agent_id
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """End run()."""
        self._stop.set()

    async def run(self) -> None:
        """Hear and answer until stop()."""
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(self._serve(), name="bus-serve")
            await self._stop.wait()
            serving.cancel()

    async def _serve(self) -> None:
        await self._connect()
        values = LastValues(
            self._bus, NodePlan, self._plans.offer, subject=NodePlan.subject_for(agent_id=self._agent_id)
        )
        question = LogsRequest.subject_for(agent_id=self._agent_id)
        async with answering(self._bus, LogsRequest, self._logs.answer, subject=question):
            await values.run()

    async def _connect(self) -> None:
        while True:
            try:
                await self._bus.open(
                    self._url, user=self._user, password=self._password, name=f"agent {self._agent_id}"
                )
            except BusUnavailable as problem:
                log.warning("bus_unavailable", why=problem.detail)
                await asyncio.sleep(_AGAIN_S)  # a bus that is away must not be hammered
            else:
                return
