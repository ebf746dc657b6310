"""NVIDIA GPUs through NVML, read-only: MIG and all other modes stay as the operator set them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pynvml
import structlog

from headrace.agent.gpu.interface import Load
from headrace.common.contracts.messages.reports import Gpu

log = structlog.get_logger()
READ_S = 5.0


class NvmlGpus:
    """NVIDIA GPUs of the machine; none without a driver. While the driver hangs, the last reading is returned."""

    simulated = False

    def __init__(self, nvml: Any = pynvml) -> None:
        self._nvml = nvml
        # One thread: NVML calls into a broken driver may never return, and must not pile up.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="nvml")
        self._reading: asyncio.Future[tuple[Gpu, ...]] | None = None
        self._last: tuple[Gpu, ...] = ()
        self._initialised = False
        self._complained = False

    async def read(self, loads: Mapping[str, Load]) -> tuple[Gpu, ...]:  # noqa: ARG002 - the interface's; real GPUs know themselves
        """Return the GPUs as NVML reports them."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.get_running_loop().run_in_executor(self._thread, self._read)
        try:
            async with asyncio.timeout(READ_S):
                self._last = await asyncio.shield(self._reading)
                self._complained = False
        except (TimeoutError, self._nvml.NVMLError) as error:
            if not self._complained:  # once, not every two seconds
                log.warning("gpus_unreadable", error=str(error) or f"no answer within {READ_S:g} s")
            self._complained = True
        return self._last

    def close(self) -> None:
        """Shut NVML down, unless the driver hangs."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _read(self) -> tuple[Gpu, ...]:
        nvml = self._nvml
        if not self._initialised:
            try:
                nvml.nvmlInit()
            except (nvml.NVMLError_LibraryNotFound, nvml.NVMLError_DriverNotLoaded):
                return ()
            self._initialised = True
        return tuple(self._one(index) for index in range(nvml.nvmlDeviceGetCount()))

    def _one(self, index: int) -> Gpu:
        nvml = self._nvml
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        busy = 0.0
        with suppress(nvml.NVMLError):  # not known while the GPU is split into MIG instances
            busy = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        return Gpu(
            gpu_id=_text(nvml.nvmlDeviceGetUUID(handle)),
            index=index,
            model=_text(nvml.nvmlDeviceGetName(handle)),
            memory_bytes=int(memory.total),
            memory_used_bytes=int(memory.used),
            utilization_percent=busy,
        )


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value
