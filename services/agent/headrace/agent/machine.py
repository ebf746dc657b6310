"""Capacity of the machine: CPU cores and memory, within the limits of the agent's own control group."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path

from headrace.common.contracts.messages.reports import Architecture

_CGROUPS = Path("/sys/fs/cgroup")
_NAMES: dict[str, Architecture] = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}

ENGINE_NAMES: dict[Architecture, frozenset[str]] = {
    "x86_64": frozenset({"x86_64", "amd64", "386", "i386"}),
    "aarch64": frozenset({"aarch64", "arm64", "arm64/v8", "arm"}),
}
"""Architecture names in images that run on a machine of each architecture."""


def architecture(name: str | None = None) -> Architecture:
    """Return the machine's CPU architecture under its canonical name. Raises ValueError for one that is not supported."""
    found = (name or platform.machine()).lower()
    if found not in _NAMES:
        raise ValueError(f"{found} machines are not supported; supported: x86_64, aarch64")
    return _NAMES[found]


def cpu_count(cgroups: Path = _CGROUPS) -> float:
    """Return the number of cores available to the agent: the lower of CPU affinity and CPU quota (control groups v1 and v2)."""
    cores = float(len(os.sched_getaffinity(0)))
    quota, period = _first_words(cgroups / "cpu.max", 2) or ("max", "1")
    if quota == "max":
        quota = (_first_words(cgroups / "cpu/cpu.cfs_quota_us", 1) or ("-1",))[0]
        period = (_first_words(cgroups / "cpu/cpu.cfs_period_us", 1) or ("1",))[0]
    return min(cores, int(quota) / int(period)) if int(quota) > 0 else cores


def memory_bytes(cgroups: Path = _CGROUPS, meminfo: Path = Path("/proc/meminfo")) -> int:
    """Return the memory available to the agent: the machine's, or the limit of its control group if that is lower."""
    total = int(meminfo.read_text(encoding="ascii").split("MemTotal:", 1)[1].split(maxsplit=1)[0]) * 1024
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        words = _first_words(cgroups / name, 1)
        if words and words[0] != "max":
            total = min(total, int(words[0]))
    return total


def _first_words(path: Path, count: int) -> tuple[str, ...] | None:
    with suppress(OSError):
        words = tuple(path.read_text(encoding="ascii").split()[:count])
        return words if len(words) == count else None
    return None
