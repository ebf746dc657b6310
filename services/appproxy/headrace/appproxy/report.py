"""What the proxy tells: the manager which tables it uses and what still drains, the autoscaler what the replicas did."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from statistics import fmean

from headrace.appproxy import metrics
from headrace.appproxy.domain.ejection import Ejections
from headrace.appproxy.load import Load
from headrace.appproxy.record import Interval, Seen
from headrace.appproxy.table import Tables
from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import publish
from headrace.common.contracts.ids import ProxyId
from headrace.common.contracts.messages.metrics import ProxyMetrics, ReplicaSample
from headrace.common.contracts.messages.reports import DrainingRoute, ProxyReport
from headrace.common.runtime.clock import Clock

EVERY = timedelta(seconds=1)
_ROUNDING = 0.000_001


def draining(tables: Tables, load: Load) -> tuple[DrainingRoute, ...]:
    """Return every replica that takes no new requests: draining ones, and removed ones with requests still open."""
    removed = load.sessions().keys() - tables.sessions().keys()
    return tuple(
        DrainingRoute(session_id=session_id, in_flight=load.in_flight(session_id))
        for session_id in sorted(tables.draining() | removed)
    )


def values(interval: Interval, in_flight: int, seconds: float) -> dict[str, float]:
    """Return one replica's samples over the last `seconds` (names and units: ReplicaSample)."""
    found = {
        "headrace_in_flight": float(in_flight),
        "headrace_requests_per_second": interval.finished / seconds,
        "headrace_errors_per_second": interval.errors / seconds,
    }
    if interval.durations:
        found["headrace_duration_seconds"] = fmean(interval.durations)
    if interval.first_bytes:
        found["headrace_time_to_first_byte_seconds"] = fmean(interval.first_bytes)
    return found


class Reporter:
    """Makes and sends the two messages. What cannot be sent is dropped: a newer one follows within a second."""

    def __init__(
        self,
        *,
        proxy_id: ProxyId,
        url: Callable[[], str],
        bus: Bus,
        tables: Tables,
        load: Load,
        seen: Seen,
        ejections: Ejections,
        clock: Clock,
        monotonic: Callable[[], float],
    ) -> None:
        self._proxy_id = proxy_id
        self._url = url
        self._bus = bus
        self._tables = tables
        self._load = load
        self._seen = seen
        self._ejections = ejections
        self._clock = clock
        self._monotonic = monotonic
        self._sampled_s = monotonic()
        self._series = metrics.SeriesSweep()

    async def report(self) -> None:
        """Tell the manager what is applied and what drains."""
        await publish(
            self._bus,
            ProxyReport(
                proxy_id=self._proxy_id,
                sent_at=self._clock(),
                url=self._url(),
                generations=self._tables.generations(),
                draining=draining(self._tables, self._load),
            ),
        )

    async def sample(self) -> None:
        """Send one sample of every replica in the tables, also of those at rest; forget those that are gone."""
        now_s = self._monotonic()
        seconds = max(now_s - self._sampled_s, _ROUNDING)
        self._sampled_s = now_s
        taken = self._seen.take()
        live = {**self._load.sessions(), **self._tables.sessions()}
        self._ejections.keep_only(live)
        self._series.sweep(
            replicas={str(session_id) for session_id in live},
            services={table.name for table in self._tables},
            now_s=now_s,
        )
        metrics.TABLES.set(len(self._tables))
        metrics.BUS_CONNECTED.set(self._bus.connected)
        samples = tuple(
            ReplicaSample(
                service_id=service_id,
                session_id=session_id,
                values=values(taken.get(session_id, Interval()), self._load.in_flight(session_id), seconds),
            )
            for session_id, service_id in live.items()
        )
        await publish(self._bus, ProxyMetrics(proxy_id=self._proxy_id, at=self._clock(), samples=samples))
