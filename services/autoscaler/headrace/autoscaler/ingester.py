"""Ingestion of metric samples: batched in memory for a moment, then written to Redis in one pipeline."""

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
"""Bound on buffered (service, reporter) pairs between two flushes; samples above it are dropped."""


class Ingester:
    """Buffers the samples that some rule of their service names; all others are dropped.

    Handling a message never waits for Redis.
    """

    def __init__(self, tables: RuleTables, windows: Windows) -> None:
        self._tables = tables
        self._windows = windows
        self._gathered: dict[ServiceId, dict[tuple[Origin, str, str], Sums]] = {}
        self._size = 0
        self._redis_unavailable = False

    async def take_kernels(self, message: KernelMetrics) -> None:
        """Buffer the samples of an agent: kernel and engine metrics."""
        kept_samples = 0
        for sample in message.samples:
            watched = self._tables.of(sample.service_id)
            if watched is None:
                continue
            owner = str(sample.kernel_id)
            kept = self._keep(sample.service_id, (Origin.KERNEL, owner, ""), watched.kernel_metrics, sample.kernel)
            kept |= self._keep(sample.service_id, (Origin.ENGINE, owner, ""), watched.framework_metrics, sample.engine)
            kept_samples += kept
        _count(kept_samples, len(message.samples))

    async def take_replicas(self, message: ProxyMetrics) -> None:
        """Buffer the samples of an app-proxy: metrics of replicas and of services."""
        kept_samples = 0
        for sample in message.samples:
            watched = self._tables.of(sample.service_id)
            kept_samples += watched is not None and self._keep(
                sample.service_id,
                (Origin.PROXY, str(sample.session_id), message.proxy_id),
                watched.framework_metrics,
                sample.values,
            )
        for whole in message.services:
            watched = self._tables.of(whole.service_id)
            who = (Origin.PROXY, WHOLE_SERVICE, message.proxy_id)
            kept_samples += watched is not None and self._keep(
                whole.service_id, who, watched.framework_metrics, whole.values
            )
        _count(kept_samples, len(message.samples) + len(message.services))

    async def flush(self) -> None:
        """Write the buffered samples to Redis.

        When Redis does not answer they are dropped: late samples would not serve a window.
        """
        batch, self._gathered, self._size = self._gathered, {}, 0
        try:
            await self._windows.write(batch)
        except RedisError as error:
            SAMPLES.labels("dropped").inc(sum(map(len, batch.values())))
            if not self._redis_unavailable:
                log.warning("samples_dropped", why=str(error) or type(error).__name__)
            self._redis_unavailable = True
        else:
            self._redis_unavailable = False

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
