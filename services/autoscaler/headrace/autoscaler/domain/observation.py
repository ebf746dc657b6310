"""Aggregation of the metric samples of live kernels and replicas into the one value that a rule compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from statistics import fmean
from typing import Final

from headrace.autoscaler.domain.window import WHOLE_SERVICE, Origin, Window
from headrace.common.contracts.messages.rules import LiveReplica
from headrace.common.contracts.rule import MetricSource

TIME_SUFFIX: Final = "_seconds"
"""Suffix of metrics that are times: values of several app-proxies are averaged; those of all others (counts, rates) are added."""


@dataclass(frozen=True, slots=True)
class AveragingWindow:
    """Time window of an average: samples count for `length`; a reporter without any for `freshness` is stale."""

    length: timedelta = timedelta(seconds=10)
    freshness: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class LiveTargets:
    """Live kernels and replicas of a service, by the ids that readings carry."""

    kernels: tuple[str, ...]
    replicas: tuple[tuple[str, tuple[str, ...]], ...]
    """Session and its kernels."""

    @classmethod
    def of(cls, replicas: Sequence[LiveReplica]) -> LiveTargets:
        """Return the session and kernel ids of `replicas`."""
        named = tuple((str(replica.session_id), tuple(map(str, replica.kernel_ids))) for replica in replicas)
        return cls(kernels=tuple(kernel for _, kernels in named for kernel in kernels), replicas=named)


@dataclass(frozen=True, slots=True)
class Observation:
    """Value of a metric: the mean over the `reporting` of `living` kernels or replicas, None when none reports.

    `whole`: a metric of the service itself, from `reporting` app-proxies: their sum or, for times, their mean.
    """

    value: float | None
    reporting: int
    living: int
    whole: bool = False


def observe(
    source: MetricSource, metric: str, live: LiveTargets, window: Window, averaging: AveragingWindow, now: datetime
) -> Observation:
    """Return the value of `metric` at `now`, over live kernels and replicas only.

    `kernel`: mean over the live kernels. `inference-framework`: mean over the live replicas; a replica's value is the
    sum (for times the mean) of what app-proxies measured of it, else the mean of its kernels' engine metrics. Metrics
    of the service itself, which app-proxies measure (queued and refused requests), are not divided by the replicas, and
    exist without any.
    """
    reader = _SampleReader(window, since_ms=_ms(now - averaging.length), fresh_ms=_ms(now - averaging.freshness))
    if source is not MetricSource.KERNEL and (measured := reader.each(Origin.PROXY, metric, WHOLE_SERVICE)):
        return Observation(
            value=_combined(metric, measured), reporting=len(measured), living=len(live.replicas), whole=True
        )
    if source is MetricSource.KERNEL:
        values = [reader.mean(Origin.KERNEL, metric, kernel) for kernel in live.kernels]
    else:
        values = [reader.replica(metric, session, kernels) for session, kernels in live.replicas]
    found = [value for value in values if value is not None]
    return Observation(value=fmean(found) if found else None, reporting=len(found), living=len(values))


@dataclass(frozen=True, slots=True)
class _SampleReader:
    window: Window
    since_ms: int
    fresh_ms: int

    def each(self, origin: Origin, metric: str, owner: str) -> list[float]:
        return self.window.means(origin, metric, owner, since_ms=self.since_ms, fresh_ms=self.fresh_ms)

    def mean(self, origin: Origin, metric: str, owner: str) -> float | None:
        values = self.each(origin, metric, owner)
        return fmean(values) if values else None

    def replica(self, metric: str, session: str, kernels: Sequence[str]) -> float | None:
        measured = self.each(Origin.PROXY, metric, session)
        if measured:
            return _combined(metric, measured)
        engines = [value for kernel in kernels if (value := self.mean(Origin.ENGINE, metric, kernel)) is not None]
        return fmean(engines) if engines else None


def _combined(metric: str, of_proxies: Sequence[float]) -> float:
    return fmean(of_proxies) if metric.endswith(TIME_SUFFIX) else sum(of_proxies)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
