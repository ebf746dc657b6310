"""Aggregation of samples into the one number that a rule sees, of the readings of what lives now."""

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
"""Values of several proxies for one replica or service: names that end so are times and averaged; all others are counts and rates and added."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """`length`: over how much time each reporter's values are averaged. `freshness`: a reporter silent for longer does not count."""

    length: timedelta = timedelta(seconds=10)
    freshness: timedelta = timedelta(seconds=10)


@dataclass(frozen=True, slots=True)
class Live:
    """What lives of a service, as the readings name it."""

    kernels: tuple[str, ...]
    replicas: tuple[tuple[str, tuple[str, ...]], ...]
    """Session and its kernels."""

    @classmethod
    def of(cls, replicas: Sequence[LiveReplica]) -> Live:
        """Return the names of `replicas` and their kernels."""
        named = tuple((str(replica.session_id), tuple(map(str, replica.kernel_ids))) for replica in replicas)
        return cls(kernels=tuple(kernel for _, kernels in named for kernel in kernels), replicas=named)


@dataclass(frozen=True, slots=True)
class Observation:
    """The mean over `reporting` of `living` kernels or replicas; None when none of them reports.

    `whole`: what `reporting` app-proxies say of the service itself, added up or, for times, averaged.
    """

    value: float | None
    reporting: int
    living: int
    whole: bool = False


def observe(
    source: MetricSource, metric: str, live: Live, window: Window, horizon: Horizon, now: datetime
) -> Observation:
    """Return the value of `metric` now. Only what lives counts: readings of ended kernels and replicas never do.

    `kernel`: mean over the live kernels. `inference-framework`: mean over the live replicas; a replica's value is what
    app-proxies say of it (added up or, for times, averaged), else what its engine says (mean over its kernels). What
    app-proxies say of the service itself (requests that wait, that were refused) is not divided by the replicas, and is there
    without any.
    """
    span = _Span(window, since_ms=_ms(now - horizon.length), fresh_ms=_ms(now - horizon.freshness))
    if source is not MetricSource.KERNEL and (said := span.each(Origin.PROXY, metric, WHOLE_SERVICE)):
        return Observation(value=_joined(metric, said), reporting=len(said), living=len(live.replicas), whole=True)
    if source is MetricSource.KERNEL:
        values = [span.mean(Origin.KERNEL, metric, kernel) for kernel in live.kernels]
    else:
        values = [span.replica(metric, session, kernels) for session, kernels in live.replicas]
    found = [value for value in values if value is not None]
    return Observation(value=fmean(found) if found else None, reporting=len(found), living=len(values))


@dataclass(frozen=True, slots=True)
class _Span:
    window: Window
    since_ms: int
    fresh_ms: int

    def each(self, origin: Origin, metric: str, owner: str) -> list[float]:
        return self.window.means(origin, metric, owner, since_ms=self.since_ms, fresh_ms=self.fresh_ms)

    def mean(self, origin: Origin, metric: str, owner: str) -> float | None:
        values = self.each(origin, metric, owner)
        return fmean(values) if values else None

    def replica(self, metric: str, session: str, kernels: Sequence[str]) -> float | None:
        seen = self.each(Origin.PROXY, metric, session)
        if seen:
            return _joined(metric, seen)
        engines = [value for kernel in kernels if (value := self.mean(Origin.ENGINE, metric, kernel)) is not None]
        return fmean(engines) if engines else None


def _joined(metric: str, of_proxies: Sequence[float]) -> float:
    return fmean(of_proxies) if metric.endswith(TIME_SUFFIX) else sum(of_proxies)


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)
