"""Sampler of resource usage: kernels, every two seconds, for the autoscaler; GPUs for the machine's report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import timedelta

from headrace.agent.domain.memory import over_limit
from headrace.agent.domain.usage import Usage, cores_used, kernel_values
from headrace.agent.gpu.interface import Gpus, Load
from headrace.agent.kernel_registry import KernelRegistry
from headrace.agent.runtime.interface import Capacity, Runtime
from headrace.agent.scrape import EngineMetrics
from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import publish
from headrace.common.contracts.ids import KernelId, ServiceId
from headrace.common.contracts.messages.metrics import KernelMetrics, KernelSample
from headrace.common.contracts.messages.plans import KernelSpec
from headrace.common.contracts.messages.reports import Gpu, Isolation
from headrace.common.contracts.reasons.kernel import KernelReason
from headrace.common.runtime.clock import Clock
from headrace.common.runtime.loop import Loop

_ALL_EVERY = 5
"""One of so many passes samples all services, for the history of their metrics and the GPUs' utilisation in the report; the
others those with rules."""


class Sampler:
    """Samples usage and publishes it. Also keeps the machine's capacity and the newest reading of its GPUs."""

    name = "stats"

    def __init__(
        self,
        bus: Bus,
        agent_id: str,
        runtime: Runtime,
        gpus: Gpus,
        engines: EngineMetrics,
        table: KernelRegistry,
        *,
        every: timedelta,
        now: Clock,
        on_machine: Callable[[], None],
        on_over: Callable[[], None],
        watched: Callable[[], Mapping[ServiceId, tuple[str, ...]] | None] = lambda: None,
    ) -> None:
        """Make a sampler.

        `watched`: services with rules, and the engine metrics these use; None: all metrics of all services.
        """
        self._bus = bus
        self._agent_id = agent_id
        self._runtime = runtime
        self._source = gpus
        self._engines = engines
        self._table = table
        self._now = now
        self._on_machine = on_machine
        self._watched = watched
        self._passes = 0
        self._on_over = on_over
        self._before: Mapping[KernelId, Usage] = {}
        self._loop = Loop("stats", self._one_pass, every=every)
        self.capacity: Capacity | None = None
        """Capacity of the runtime; None until it was read."""
        self.gpus: tuple[Gpu, ...] = ()
        self.isolation: Isolation | None = None

    def stop(self) -> None:
        """Make run() return."""
        self._loop.stop()

    async def run(self) -> None:
        """Sample until stop()."""
        try:
            await self._loop.run()
        finally:
            await self._engines.close()

    async def _one_pass(self) -> None:
        self.isolation = await self._runtime.isolation()
        if self.capacity is None:
            self.gpus = await self._source.read({})
            self.capacity = await self._runtime.capacity()
            self._on_machine()
        specs, watched = self._running(), self._watched()
        whole = self._passes % _ALL_EVERY == 0
        self._passes += 1
        if not whole and watched is not None and not any(spec.service_id in watched for spec in specs.values()):
            return
        usage = await self._runtime.usage() if specs else {}
        self._table.observe_memory(over_limit(specs, usage, self._table.over))
        if self._table.over:
            self._on_over()
        self.gpus = await self._source.read(self._loads(specs, usage))
        ports = {
            kernel_id: port
            for kernel_id, spec in specs.items()
            if spec.role == "main"
            and self._serves(kernel_id)
            and (port := self._table.seen[kernel_id].port) is not None
            and (watched is None or (spec.service_id is not None and watched.get(spec.service_id)))
        }
        wanted = (
            None
            if watched is None
            else {i: watched[service] for i in ports if (service := specs[i].service_id) is not None}
        )
        engines = await self._engines.read(ports, wanted)
        samples = tuple(
            sample
            for kernel_id, spec in specs.items()
            if (whole or watched is None or spec.service_id in watched)
            and (sample := self._sample(spec, usage.get(kernel_id), engines.get(kernel_id, {}))) is not None
        )
        self._before = usage
        if samples:
            await publish(self._bus, KernelMetrics(agent_id=self._agent_id, at=self._now(), samples=samples))

    def _running(self) -> dict[KernelId, KernelSpec]:
        return {
            kernel_id: record.spec
            for kernel_id, record in self._table.records.items()
            if record.started_at is not None
            and record.ending is None
            and (seen := self._table.seen.get(kernel_id)) is not None
            and seen.phase == "running"
        }

    def _serves(self, kernel_id: KernelId) -> bool:
        """Return whether the listener on its port is known to be its own."""
        health = self._table.records[kernel_id].health
        return health is not None and health.was_healthy and health.reason.code != KernelReason.PORT_TAKEN

    def _sample(self, spec: KernelSpec, usage: Usage | None, engine: dict[str, float]) -> KernelSample | None:
        if spec.service_id is None or usage is None or self.capacity is None:
            return None
        kernel = kernel_values(
            spec,
            usage,
            self._before.get(spec.kernel_id),
            {gpu.gpu_id: gpu for gpu in self.gpus},
            machine_mem_bytes=self.capacity.mem_bytes,
        )
        return KernelSample(
            service_id=spec.service_id,
            session_id=spec.session_id,
            kernel_id=spec.kernel_id,
            kernel=kernel,
            engine=engine,
        )

    def _loads(self, specs: Mapping[KernelId, KernelSpec], usage: Mapping[KernelId, Usage]) -> dict[str, Load]:
        shares: dict[str, float] = defaultdict(float)
        busy: dict[str, float] = defaultdict(float)
        for kernel_id, spec in specs.items():
            now = usage.get(kernel_id)
            cores = cores_used(now, self._before.get(kernel_id)) if now is not None else None
            for grant in spec.gpus:
                shares[grant.gpu_id] += float(grant.share)
                busy[grant.gpu_id] += min(100.0, 100 * (cores or 0.0)) * float(grant.share)
        return {gpu_id: Load(shares[gpu_id], busy[gpu_id]) for gpu_id in shares}
