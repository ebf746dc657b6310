"""Ingestion of metric samples: batched in memory for a moment, then written to Redis by one script."""

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
_Reporter = tuple[Origin, str, str]
"""Origin, owner, and which of several reporters."""
_Reporters = dict[_Reporter, Sums]
REPORTERS: Final = 100_000
"""Bound on buffered (service, reporter) pairs between two flushes; samples above it are dropped."""


class Ingester:
    """Buffers the samples that some rule of their service names; all others are dropped.

    Handling a message never waits for Redis.
    """

    def __init__(self, tables: RuleTables, windows: Windows) -> None:
        self._tables = tables
        self._windows = windows
        self._gathered: dict[ServiceId, _Reporters] = {}
        self._size = 0
        self._dropping = False

    async def take_kernels(self, message: KernelMetrics) -> None:
        """Buffer the samples of an agent: kernel and engine metrics of what runs on its machine."""
        kept_samples = foreign = 0
        for sample in message.samples:
            watched = self._tables.of(sample.service_id)
            if watched is None:
                continue
            owner = str(sample.kernel_id)
            machine = watched.machine_of(owner, message.agent_id)
            if machine != message.agent_id:
                foreign += machine is not None
                continue
            reporters = self._reporters(sample.service_id)
            kept = self._keep(reporters, (Origin.KERNEL, owner, ""), watched.kernel_metrics, sample.kernel)
            kept |= self._keep(reporters, (Origin.ENGINE, owner, ""), watched.framework_metrics, sample.engine)
            kept_samples += kept
        SAMPLES.labels("foreign").inc(foreign)
        _count(kept_samples, len(message.samples) - foreign)

    async def take_replicas(self, message: ProxyMetrics) -> None:
        """Buffer the samples of an app-proxy: metrics of replicas and of services."""
        kept_samples = 0
        for sample in message.samples:
            watched = self._tables.of(sample.service_id)
            who = (Origin.PROXY, str(sample.session_id), message.proxy_id)
            kept_samples += watched is not None and self._keep(
                self._reporters(sample.service_id), who, watched.framework_metrics, sample.values
            )
        for whole in message.services:
            watched = self._tables.of(whole.service_id)
            who = (Origin.PROXY, WHOLE_SERVICE, message.proxy_id)
            kept_samples += watched is not None and self._keep(
                self._reporters(whole.service_id), who, watched.framework_metrics, whole.values
            )
        _count(kept_samples, len(message.samples) + len(message.services))

    async def flush(self) -> None:
        """Write the buffered samples to Redis.

        What it does not take is dropped: late samples would not serve a window. So are those of services whose rules went
        meanwhile: their keys may have been deleted, and would be there again until they expire.
        """
        batch = {
            service: reporters
            for service, reporters in self._gathered.items()
            if reporters and self._tables.of(service) is not None
        }
        self._gathered, self._size = {}, 0
        try:
            refused = await self._windows.write(batch)
        except RedisError as error:
            refused = dict.fromkeys(batch, str(error) or type(error).__name__)
        if refused:
            SAMPLES.labels("dropped").inc(sum(len(batch[service]) for service in refused))
            if not self._dropping:
                log.warning("samples_dropped", services=len(refused), why=next(iter(refused.values())))
        self._dropping = bool(refused)

    def _reporters(self, service: ServiceId) -> _Reporters:
        reporters = self._gathered.get(service)
        if reporters is None:
            reporters = self._gathered[service] = {}
        return reporters

    def _keep(self, reporters: _Reporters, who: _Reporter, wanted: frozenset[str], values: Mapping[str, float]) -> bool:
        """Add up the values that are wanted of one reporter. Thousands of samples come in a second: this is the innermost loop."""
        sums = reporters.get(who)
        if sums is None:
            sums = {metric: [values[metric], 1] for metric in wanted if metric in values}
            if not sums:
                return False
            if self._size >= REPORTERS:
                SAMPLES.labels("dropped").inc()
                return False
            self._size += 1
            reporters[who] = sums
            return True
        kept = False
        for metric in wanted:
            if metric in values:
                kept, entry = True, sums.get(metric)
                if entry is None:
                    sums[metric] = [values[metric], 1]
                else:
                    entry[0] += values[metric]
                    entry[1] += 1
        return kept


def _count(kept: int, of: int) -> None:
    SAMPLES.labels("kept").inc(kept)
    SAMPLES.labels("unwanted").inc(of - kept)
