"""Resource counters of a container, from the engine's statistics. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headrace.agent.domain.usage import Usage


def usage_of(stats: Mapping[str, Any], at_s: float) -> Usage | None:
    """Return the counters of one statistics answer; None when the container had just exited.

    Memory is without the reclaimable page cache, whose name differs between control groups v1 and v2.
    """
    cpu = (stats.get("cpu_stats") or {}).get("cpu_usage") or {}
    memory = stats.get("memory_stats") or {}
    if not cpu.get("total_usage") or not memory.get("usage"):
        return None
    details = memory.get("stats") or {}
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    networks = (stats.get("networks") or {}).values()
    return Usage(
        at_s,
        cpu["total_usage"] / 1e9,
        max(0, int(memory["usage"]) - int(cache)),
        sum(int(network["rx_bytes"]) for network in networks) if networks else None,
        sum(int(network["tx_bytes"]) for network in networks) if networks else None,
    )
