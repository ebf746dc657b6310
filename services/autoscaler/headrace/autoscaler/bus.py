"""Bus subscriptions of the autoscaler: rule tables, and samples of kernels and replicas."""

from __future__ import annotations

from collections.abc import Callable

from headrace.autoscaler.ingester import Ingester
from headrace.common.bus.connect import Bus
from headrace.common.bus.consume import LastValues, subscribed
from headrace.common.contracts.messages.metrics import KernelMetrics, ProxyMetrics
from headrace.common.contracts.messages.rules import RuleTable

QUEUE = "autoscaler"
"""Queue group: each sample reaches one autoscaler."""


async def serve(
    bus: Bus, rules: LastValues[RuleTable], ingester: Ingester, *, connected: Callable[[], None] = lambda: None
) -> None:
    """Subscribe to rule tables and metric samples until cancelled; `connected` is called first. Raises BusUnavailable."""
    connected()
    async with (
        subscribed(bus, KernelMetrics, ingester.take_kernels, queue=QUEUE),
        subscribed(bus, ProxyMetrics, ingester.take_replicas, queue=QUEUE),
    ):
        await rules.run()
