"""What the agent asks of a machine's GPUs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from headrace.common.contracts.messages.reports import Gpu


@dataclass(frozen=True, slots=True)
class Load:
    """What kernels do with one GPU, as far as their processors tell. Only a simulation needs it."""

    share: float
    """Sum of the shares that are held."""
    busy_percent: float
    """0–100."""


class Gpus(Protocol):
    """The machine's GPUs."""

    simulated: bool

    async def read(self, loads: Mapping[str, Load]) -> tuple[Gpu, ...]:
        """Return every GPU as it is now; none on a machine without. Bounded in time, and never raises for a driver's fault."""
