"""Publisher of NodeReport: the state of the whole machine, every two seconds and at once on change."""

from __future__ import annotations

import asyncio
from collections import Counter as Tally
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from importlib.metadata import version
from typing import Literal, get_args
from uuid import uuid4

import structlog

from headrace.agent.domain.absence import Absence
from headrace.agent.domain.kernels import undecrypted
from headrace.agent.kernel_registry import KernelRegistry
from headrace.agent.metrics import KERNELS
from headrace.agent.plans import Plans
from headrace.agent.runtime.interface import Capacity
from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import publish
from headrace.common.contracts.messages.instances import ServiceInstance
from headrace.common.contracts.messages.reports import Disk, Gpu, Isolation, KernelReport, Machine, NodeReport
from headrace.common.contracts.problems import BusUnavailable
from headrace.common.contracts.slots import CPU, GPU_DEVICE, MEM
from headrace.common.contracts.vocabulary import KernelState
from headrace.common.runtime.clock import Clock, Monotonic
from headrace.common.runtime.loop import Loop

log = structlog.get_logger()
_VERSION = version("headrace")
_GATHER = timedelta(milliseconds=20)
READ_PLAN_S = 3.0
ABSENT_REPORTS = 2
"""An agent that did not come to report for so many intervals was suspended."""


def machine_of(
    capacity: Capacity,
    gpus: tuple[Gpu, ...],
    *,
    address: str,
    runtime: Literal["docker", "process", "slurm"],
    isolation: Isolation | None = None,
    disk: Disk | None = None,
    engine_disk: Disk | None = None,
    admin_port: int | None = None,
    plan_key: str | None = None,
    instance: ServiceInstance | None = None,
) -> Machine:
    """Return the Machine part of a report: capacity, GPUs, address, runtime, disk."""
    slots = {CPU: Decimal(str(round(capacity.cpus, 3))), MEM: Decimal(capacity.mem_bytes)}
    if gpus:
        slots[GPU_DEVICE] = Decimal(len(gpus))
    return Machine(
        hostname=capacity.hostname,
        architecture=capacity.architecture,
        address=address,
        runtime=runtime,
        version=_VERSION,
        slots=slots,
        gpus=gpus,
        isolation=isolation,
        disk=disk,
        engine_disk=engine_disk,
        admin_port=admin_port,
        plan_key=plan_key,
        instance=instance,
    )


class Reporter:
    """Publishes NodeReports.

    The first one waits until the runtime was listed and the machine's capacity is known: a report without its kernels
    would say that they are gone.

    At the start, and after it was cut off from the bus or suspended, it reads the newest plan before it reports: the machine may
    have been lost meanwhile and its replicas replaced, or have been removed. What the plan lacks is then reported as being
    stopped, and never as serving. It waits for that at most `READ_PLAN_S`, since a machine that says nothing is lost; the manager
    besides counts no report of a kernel that it has ended.
    """

    name = "report"

    def __init__(
        self,
        bus: Bus,
        agent_id: str,
        table: KernelRegistry,
        plans: Plans,
        machine: Callable[[], Machine | None],
        *,
        every: timedelta,
        now: Clock,
        read_plan: Callable[[], Awaitable[None]],
        monotonic: Monotonic,
    ) -> None:
        self._bus = bus
        self._agent_id = agent_id
        self._table = table
        self._plans = plans
        self._machine = machine
        self._now = now
        self._read_plan = read_plan
        self._monotonic = monotonic
        self._absence = Absence(ABSENT_REPORTS * every.total_seconds())
        bus.on_reconnect(self._absence.away)
        self._incarnation = uuid4().hex
        self._sequence = 0
        self._loop = Loop("report", self._one_pass, every=every, pause=_GATHER)

    def poke(self) -> None:
        """Request a report soon."""
        self._loop.poke()

    def stop(self) -> None:
        """Make run() return."""
        self._loop.stop()

    async def run(self) -> None:
        """Report until stop(), and once more at the end."""
        await self._loop.run()
        await self._one_pass()

    async def _catch_up(self) -> None:
        """Read the newest plan; where that fails it is tried again with the next report."""
        try:
            async with asyncio.timeout(READ_PLAN_S):
                await self._read_plan()
        except (BusUnavailable, TimeoutError) as error:
            log.warning("plan_not_read", why=str(error) or type(error).__name__)
        else:
            self._absence.caught_up()

    def _kernels(self) -> tuple[KernelReport, ...]:
        known = self._table.reports(self._plans.planned)
        shown = {kernel.kernel_id for kernel in known}
        why = self._plans.problem or ""
        unreadable = self._plans.unreadable.items()
        return (*known, *(undecrypted(kernel, why) for kernel_id, kernel in unreadable if kernel_id not in shown))

    async def _one_pass(self) -> None:
        machine = self._machine()
        if machine is None:
            return
        if not self._bus.connected:
            self._absence.away()
        elif self._absence.returned(self._now().timestamp(), self._monotonic()):
            await self._catch_up()
        kernels = self._kernels()
        tally = Tally(kernel.state for kernel in kernels)
        for state in get_args(KernelState):
            KERNELS.labels(state).set(tally[state])
        self._sequence += 1
        report = NodeReport(
            agent_id=self._agent_id,
            incarnation=self._incarnation,
            sequence=self._sequence,
            sent_at=self._now(),
            applied_generation=self._plans.generation,
            machine=machine,
            kernels=kernels,
        )
        await publish(self._bus, report)
