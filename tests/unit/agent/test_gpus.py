"""GPUs: NVML through a driver that is not there, works, or hangs; and the simulation."""

# ruff: noqa: N802 - NVML's own names

from __future__ import annotations

import threading
from types import SimpleNamespace

import pynvml
import pytest

from headrace.agent.gpu import nvml
from headrace.agent.gpu.interface import Load
from headrace.agent.gpu.nvml import NvmlGpus
from headrace.agent.gpu.simulated import SimulatedGpus


class Driver:
    """As much of NVML as the agent uses."""

    NVMLError = pynvml.NVMLError
    NVMLError_LibraryNotFound = pynvml.NVMLError_LibraryNotFound
    NVMLError_DriverNotLoaded = pynvml.NVMLError_DriverNotLoaded

    def __init__(self) -> None:
        self.present = True
        self.split = False
        self.inits = 0
        self.free = threading.Event()
        self.free.set()

    def nvmlInit(self) -> None:
        self.inits += 1
        if not self.present:
            raise pynvml.NVMLError_LibraryNotFound

    def nvmlDeviceGetCount(self) -> int:
        self.free.wait(30)
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetUUID(self, handle: int) -> str:
        return f"GPU-{handle}"

    def nvmlDeviceGetName(self, handle: int) -> bytes:
        return b"NVIDIA H200"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> SimpleNamespace:
        return SimpleNamespace(total=100, used=40)

    def nvmlDeviceGetUtilizationRates(self, handle: int) -> SimpleNamespace:
        if self.split:
            raise pynvml.NVMLError_NotSupported
        return SimpleNamespace(gpu=75)


async def test_gpus_as_the_driver_shows_them() -> None:
    driver = Driver()
    gpus = NvmlGpus(driver)
    seen = await gpus.read({})
    assert [(g.gpu_id, g.model, g.memory_bytes, g.memory_used_bytes, g.utilization_percent) for g in seen] == [
        ("GPU-0", "NVIDIA H200", 100, 40, 75.0),
        ("GPU-1", "NVIDIA H200", 100, 40, 75.0),
    ]
    driver.split = True
    assert [g.utilization_percent for g in await gpus.read({})] == [0.0, 0.0]
    assert driver.inits == 1
    gpus.close()


async def test_a_machine_without_a_driver_has_no_gpus_until_it_gets_one() -> None:
    driver = Driver()
    driver.present = False
    gpus = NvmlGpus(driver)
    assert await gpus.read({}) == ()
    driver.present = True
    assert len(await gpus.read({})) == 2
    gpus.close()


async def test_a_driver_that_hangs_is_shown_as_it_was_and_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    driver = Driver()
    gpus = NvmlGpus(driver)
    before = await gpus.read({})
    monkeypatch.setattr(nvml, "READ_S", 0.05)
    driver.free.clear()
    assert await gpus.read({}) == before
    assert await gpus.read({}) == before
    driver.free.set()
    monkeypatch.undo()
    assert await gpus.read({}) == before
    gpus.close()


async def test_this_machine_is_read_without_an_error() -> None:
    gpus = NvmlGpus()
    assert isinstance(await gpus.read({}), tuple)
    gpus.close()


async def test_simulated_gpus_are_as_busy_as_their_kernels() -> None:
    gpus = SimulatedGpus("agent-1", count=2, model="Simulated", memory_bytes=1000)
    first, second = await gpus.read({"SIM-agent-1-0": Load(share=0.5, busy_percent=130)})
    assert (first.gpu_id, first.utilization_percent, first.memory_used_bytes, first.simulated) == (
        "SIM-agent-1-0",
        100,
        450,
        True,
    )
    assert (second.utilization_percent, second.memory_used_bytes) == (0, 0)
