"""Resource usage rates: metric values computed from two readings of a kernel's counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headrace.common.contracts.messages.plans import KernelSpec
from headrace.common.contracts.messages.reports import Gpu
from headrace.common.contracts.slots import MEM


@dataclass(frozen=True, slots=True)
class Usage:
    """Reading of a kernel's resource counters at one time."""

    at_s: float
    """Seconds of a monotonic clock."""
    cpu_s: float
    """CPU time used since the start."""
    mem_bytes: int
    net_rx_bytes: int | None = None
    """None where the kernel has no network of its own."""
    net_tx_bytes: int | None = None
    held_bytes: int | None = None
    """Unreclaimable memory; None where that was not measured."""


def cores_used(now: Usage, before: Usage | None) -> float | None:
    """Return the CPU cores used between two readings; None for the first reading."""
    if before is None or now.at_s <= before.at_s:
        return None
    return max(0.0, now.cpu_s - before.cpu_s) / (now.at_s - before.at_s)


def kernel_values(
    spec: KernelSpec, now: Usage, before: Usage | None, gpus: Mapping[str, Gpu], *, machine_mem_bytes: int
) -> dict[str, float]:
    """Return the kernel's metric values; rates are absent for the first reading. KernelSample has the names and units."""
    limit = int(spec.slots.get(MEM) or 0) or machine_mem_bytes
    values: dict[str, float] = {"mem": float(now.mem_bytes), "mem_util": 100 * now.mem_bytes / limit if limit else 0.0}
    cores = cores_used(now, before)
    if cores is not None and before is not None:
        values |= {"cpu_used": cores, "cpu_util": 100 * cores}
        for name, new, old in (
            ("net_rx", now.net_rx_bytes, before.net_rx_bytes),
            ("net_tx", now.net_tx_bytes, before.net_tx_bytes),
        ):
            if new is not None and old is not None:
                values[name] = max(0, new - old) / (now.at_s - before.at_s)
    return values | gpu_values([gpus[grant.gpu_id] for grant in spec.gpus if grant.gpu_id in gpus])


def gpu_values(held: Sequence[Gpu]) -> dict[str, float]:
    """Return the means over the kernel's GPUs; empty when it has none."""
    if not held:
        return {}
    memory = [100 * gpu.memory_used_bytes / gpu.memory_bytes if gpu.memory_bytes else 0.0 for gpu in held]
    return {
        "cuda_util": sum(gpu.utilization_percent for gpu in held) / len(held),
        "cuda_mem_util": sum(memory) / len(memory),
    }
