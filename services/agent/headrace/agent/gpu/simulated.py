"""Simulated GPUs, for trying out everything but computing on a machine without any."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.agent.gpu.interface import Load
from headrace.common.contracts.messages.reports import Gpu

_HELD_MEMORY = 0.9
"""An engine takes its memory at the start and keeps it, as vLLM does by default."""


class SimulatedGpus:
    """`count` equal simulated GPUs; the utilisation of each is the CPU load of the kernels that hold it."""

    simulated = True

    def __init__(self, agent_id: str, *, count: int, model: str, memory_bytes: int) -> None:
        self._gpus = tuple(
            Gpu(gpu_id=f"SIM-{agent_id}-{index}", index=index, model=model, memory_bytes=memory_bytes, simulated=True)
            for index in range(count)
        )

    async def read(self, loads: Mapping[str, Load]) -> tuple[Gpu, ...]:
        """Return the GPUs with utilisation by `loads`."""
        return tuple(self._under(gpu, loads.get(gpu.gpu_id, Load(0, 0))) for gpu in self._gpus)

    def _under(self, gpu: Gpu, load: Load) -> Gpu:
        used = int(gpu.memory_bytes * min(1.0, load.share) * _HELD_MEMORY)
        busy = min(100.0, max(0.0, load.busy_percent))
        return gpu.model_copy(update={"memory_used_bytes": used, "utilization_percent": busy})
