"""GPU interface: what NVML and the simulation both provide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from headrace.common.contracts.messages.reports import Gpu


@dataclass(frozen=True, slots=True)
class Load:
    """CPU load of the kernels on one GPU. Only the simulation uses it."""

    share: float
    """Sum of the shares of the GPU that kernels hold."""
    busy_percent: float
    """0–100."""


class Gpus(Protocol):
    """GPUs of the machine."""

    simulated: bool

    async def read(self, loads: Mapping[str, Load]) -> tuple[Gpu, ...]:
        """Return every GPU with its current use; empty on a machine without.

        Bounded in time; never raises for a driver fault.
        """
