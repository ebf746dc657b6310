"""Batched writes of samples from the bus to Redis: gathered in memory for a moment and written in one go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import structlog
from redis.exceptions import RedisError

from headrace.autoscaler.domain.window import WHOLE_SERVICE, Origin
from headrace.autoscaler.metrics import SAMPLES
from headrace.autoscaler.rule_tables import RuleTables
from headrace.autoscaler.windows import Sums, Windows
from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.messages.metrics import KernelMetrics, ProxyMetrics

log = structlog.get_logger()
REPORTERS: Final = 100_000
"""Most (service, reporter) pairs held between two flushes; what is over is dropped."""


class Intake:
    """Keeps of each sample what some rule of its service names. Never waits for Redis while a message is handled."""

    def __init__(self, tables: RuleTables, windows: Windows) -> None:
        self._tables = tables
        self._windows = windows
        self._gathered: dict[ServiceId, dict[tuple[Origin, str, str], Sums]] = {}
        self._size = 0
        self._away = False

    async def take_kernels(self, message: KernelMetrics) -> None:
        """Gather an agent's samples."""
        kept_samples = 0
        for sample in message.samples:
            known = self._tables.of(sample.service_id)
            if known is None:
                continue
            owner = str(sample.kernel_id)
            kept = self._keep(sample.service_id, (Origin.KERNEL, owner, ""), known.kernel_metrics, sample.kernel)
            kept |= self._keep(sample.service_id, (Origin.ENGINE, owner, ""), known.framework_metrics, sample.engine)
            kept_samples += kept
        _count(kept_samples, len(message.samples))

    async def take_replicas(self, message: ProxyMetrics) -> None:
        """Gather an app-proxy's samples, of replicas and of services."""
        kept_samples = 0
        for sample in message.samples:
            known = self._tables.of(sample.service_id)
            kept_samples += known is not None and self._keep(
                sample.service_id,
                (Origin.PROXY, str(sample.session_id), message.proxy_id),
                known.framework_metrics,
                sample.values,
            )
        for whole in message.services:
            known = self._tables.of(whole.service_id)
            who = (Origin.PROXY, WHOLE_SERVICE, message.proxy_id)
            kept_samples += known is not None and self._keep(
                whole.service_id, who, known.framework_metrics, whole.values
            )
        _count(kept_samples, len(message.samples) + len(message.services))

    async def flush(self) -> None:
        """Write what was gathered. While Redis is away it is dropped: a window holds what is new, not what is late."""
        batch, self._gathered, self._size = self._gathered, {}, 0
        try:
            await self._windows.write(batch)
        except RedisError as error:
            SAMPLES.labels("dropped").inc(sum(map(len, batch.values())))
            if not self._away:
                log.warning("samples_dropped", why=str(error) or type(error).__name__)
            self._away = True
        else:
            self._away = False

    def _keep(
        self, service: ServiceId, who: tuple[Origin, str, str], wanted: frozenset[str], values: Mapping[str, float]
    ) -> bool:
        found = wanted & values.keys()
        if not found:
            return False
        reporters = self._gathered.setdefault(service, {})
        if who not in reporters:
            if self._size >= REPORTERS:
                SAMPLES.labels("dropped").inc()
                return False
            self._size += 1
        sums = reporters.setdefault(who, {})
        for metric in found:
            entry = sums.setdefault(metric, [0.0, 0])
            entry[0] += values[metric]
            entry[1] += 1
        return True


def _count(kept: int, of: int) -> None:
    SAMPLES.labels("kept").inc(kept)
    SAMPLES.labels("unwanted").inc(of - kept)
