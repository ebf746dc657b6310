"""Samples of replicas' resources from agents, kept in memory until the history's loop stores them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from headrace.common.contracts.ids import ServiceId, SessionId
from headrace.common.contracts.messages.metrics import KernelMetrics, KernelSample
from headrace.common.contracts.messages.traffic import WINDOW_S
from headrace.common.runtime.clock import Clock
from headrace.manager.domain.metric_history.points import ReplicaResources

MAX_REPLICAS: Final = 50_000
"""Replicas of which samples are kept between two passes."""
Key = tuple[SessionId, str, datetime]
"""Replica, machine, and beginning of the window."""


class KernelSamples:
    """Newest sample of each replica in each window. Each message reaches one of the managers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samples: dict[Key, tuple[ServiceId, ReplicaResources]] = {}

    async def heard(self, message: KernelMetrics) -> None:
        """Keep the samples of a machine."""
        seconds = int(self._clock().timestamp())
        at = datetime.fromtimestamp(seconds - seconds % WINDOW_S, UTC)
        by_replica: dict[tuple[ServiceId, SessionId], list[KernelSample]] = defaultdict(list)
        for sample in message.samples:
            by_replica[sample.service_id, sample.session_id].append(sample)
        for (service_id, session_id), kernels in by_replica.items():
            key = (session_id, message.agent_id, at)
            if key in self._samples or len(self._samples) < MAX_REPLICAS:
                self._samples[key] = service_id, _resources(session_id, kernels)

    def take(self) -> dict[Key, tuple[ServiceId, ReplicaResources]]:
        """Return what was kept, and begin anew."""
        taken, self._samples = self._samples, {}
        return taken


def _resources(session_id: SessionId, kernels: Sequence[KernelSample]) -> ReplicaResources:
    """Return what a replica uses on a machine: sums of cores and memory, means over kernels with GPUs."""
    return ReplicaResources(
        session_id=session_id,
        cpu_cores=_sum(kernels, "cpu_used"),
        memory_bytes=_sum(kernels, "mem"),
        gpu_percent=_mean(kernels, "cuda_util"),
        gpu_memory_percent=_mean(kernels, "cuda_mem_util"),
    )


def _values(kernels: Sequence[KernelSample], name: str) -> list[float]:
    return [max(0.0, kernel.kernel[name]) for kernel in kernels if name in kernel.kernel]


def _sum(kernels: Sequence[KernelSample], name: str) -> float | None:
    values = _values(kernels, name)
    return round(sum(values), 3) if values else None


def _mean(kernels: Sequence[KernelSample], name: str) -> float | None:
    values = _values(kernels, name)
    return round(sum(values) / len(values), 3) if values else None
