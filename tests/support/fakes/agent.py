"""Fake agent on the real bus; the test decides what becomes of its kernels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import LastValues
from headrace.common.bus.publish import publish
from headrace.common.contracts.ids import KernelId, ServiceId
from headrace.common.contracts.messages.plans import KernelSpec, NodePlan
from headrace.common.contracts.messages.reports import (
    Disk,
    Gpu,
    KernelReport,
    Machine,
    NodeReport,
)
from headrace.common.contracts.reasons import Reason
from headrace.common.runtime.clock import utc_now

Outcome = Literal["healthy", "starting", "failed"]


class FakeAgent:
    """Fake agent: planned kernels become what `outcome` says at once, and disappear once they are not planned."""

    def __init__(self, agent_id: str, bus: Bus, *, cpu: str = "8", gpus: int = 0) -> None:
        self.id = agent_id
        self._bus = bus
        self._machine = Machine(
            hostname=agent_id,
            architecture="x86_64",
            address="127.0.0.1",
            runtime="process",
            version="0",
            slots={"cpu": cpu, "mem": str(64 << 30), **({"cuda.device": gpus} if gpus else {})},
            gpus=tuple(
                Gpu(gpu_id=f"{agent_id}-gpu-{n}", index=n, model="simulated", memory_bytes=1, simulated=True)
                for n in range(gpus)
            ),
        )
        self.outcome: Callable[[KernelSpec], Outcome] = lambda _spec: "healthy"
        self.ends: dict[KernelId, str] = {}
        """Kernels that ended by signal 9 after they ran."""
        self.failing: set[KernelId] = set()
        """Kernels that run and fail their health checks."""
        self.clings = False
        """Whether it keeps kernels that left the plan."""
        self.kernels: dict[KernelId, KernelSpec] = {}
        self.generation = 0
        self.watched: dict[ServiceId, tuple[str, ...]] = {}
        self.ports: dict[KernelId, int] = {}
        self.disks: dict[Literal["disk", "engine_disk"], Disk] = {}
        """What it says of its disks."""
        self._sequence = 0
        self._changed = asyncio.Event()
        self._stop = asyncio.Event()

    async def _planned(self, plan: NodePlan) -> None:
        if plan.generation < self.generation:
            return
        self.generation = plan.generation
        self.watched = dict(plan.watched or {})
        wanted = plan.resolved()
        kept = self.kernels if self.clings else {}
        self.kernels = {**kept, **wanted}
        self._changed.set()

    def report_now(self) -> None:
        self._changed.set()

    def _report(self) -> NodeReport:
        self._sequence += 1
        return NodeReport(
            agent_id=self.id,
            incarnation="1",
            sequence=self._sequence,
            sent_at=utc_now(),
            applied_generation=self.generation,
            machine=self._machine.model_copy(update={str(name): disk for name, disk in self.disks.items()}),
            kernels=tuple(self._kernel(spec) for spec in self.kernels.values()),
        )

    def _kernel(self, spec: KernelSpec) -> KernelReport:
        outcome = self.outcome(spec)
        if self.ends.get(spec.kernel_id) == "stopped with the agent":
            return KernelReport(
                kernel_id=spec.kernel_id,
                session_id=spec.session_id,
                service_id=spec.service_id,
                state="exited",
                health="unhealthy",
                reason=Reason(code="agent-stopped", text="its machine's agent was stopped"),
                exit_code=143,
                created_at=utc_now(),
            )
        if spec.kernel_id in self.ends:
            return KernelReport(
                kernel_id=spec.kernel_id,
                session_id=spec.session_id,
                service_id=spec.service_id,
                state="exited",
                health="unhealthy",
                reason=Reason(code="killed-by-signal", text="it ended by signal 9; last lines: out of memory"),
                exit_code=137,
                created_at=utc_now(),
            )
        if spec.kernel_id in self.failing:
            return KernelReport(
                kernel_id=spec.kernel_id,
                session_id=spec.session_id,
                service_id=spec.service_id,
                state="running",
                health="unhealthy",
                reason=Reason(
                    code="health-check-failed", text="GET /health failed 4 times in a row (allowed: 3): answered 500"
                ),
                host="127.0.0.1",
                port=self.ports[spec.kernel_id],
                created_at=utc_now(),
                failures=4,
            )
        port = self.ports.setdefault(spec.kernel_id, 20_000 + len(self.ports))
        return KernelReport(
            kernel_id=spec.kernel_id,
            session_id=spec.session_id,
            service_id=spec.service_id,
            state="failed" if outcome == "failed" else "running",
            health="healthy" if outcome == "healthy" else "degraded",
            reason=Reason(code=outcome, text=f"the test says {outcome}"),
            host="127.0.0.1",
            port=None if outcome == "failed" else port,
            created_at=utc_now(),
        )

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[FakeAgent]:
        self._stop.clear()
        watch = LastValues(self._bus, NodePlan, self._planned, subject=f"plan.agent.{self.id}")
        tasks = [asyncio.create_task(watch.run()), asyncio.create_task(self._reporting())]
        try:
            yield self
        finally:
            watch.stop()
            self._stop.set()
            self._changed.set()
            await asyncio.gather(*tasks)

    async def _reporting(self) -> None:
        while not self._stop.is_set():
            self._changed.clear()
            await publish(self._bus, self._report())
            try:
                async with asyncio.timeout(0.2):
                    await self._changed.wait()
            except TimeoutError:
                continue
