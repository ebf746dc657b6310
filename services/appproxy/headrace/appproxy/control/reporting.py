"""Publishes ProxyReport (applied generations, drains) to the manager and ProxyMetrics to the autoscaler.

HeldReport, for autoscalers, has the requests queued for a first replica.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.dataplane.telemetry.stats import Histogram, ReplicaStats, ServiceStats, StatsRegistry
from headrace.appproxy.ipc.snapshot import TrafficSnapshot
from headrace.common.bus.connect import Bus
from headrace.common.bus.publish import publish
from headrace.common.contracts.ids import ProxyId, ServiceId
from headrace.common.contracts.messages.instances import ServiceInstance
from headrace.common.contracts.messages.metrics import ProxyMetrics, ReplicaSample, ServiceSample
from headrace.common.contracts.messages.reports import DrainingRoute, Held, HeldReport, ProxyReport
from headrace.common.runtime.clock import Clock
from headrace.common.runtime.loop import Loop

EVERY = timedelta(seconds=1)
_GATHER = timedelta(milliseconds=20)
_IDLE_SERVICE = {"headrace_refused_per_second": 0.0}
_ROUNDING = 0.000_001
_MAX_PORTS = 100
Counters = dict[str, float]


def replica_counters(stats: ReplicaStats) -> Counters:
    """Return the cumulative counters of a replica."""
    means: tuple[tuple[str, Histogram], ...] = (
        ("duration", stats.durations),
        ("time_to_first_byte", stats.first_bytes),
        ("time_per_event", stats.per_event),
    )
    counts = {
        "requests": stats.finished,
        "errors": stats.errors,
        "bytes_sent": stats.bytes_sent,
        "prompt_tokens": stats.prompt_tokens,
        "completion_tokens": stats.completion_tokens,
    }
    return (
        {name: float(number) for name, number in counts.items()}
        | {f"{name}:sum": histogram.total for name, histogram in means}
        | {f"{name}:count": float(histogram.count) for name, histogram in means}
    )


def service_counters(stats: ServiceStats) -> Counters:
    """Return the cumulative counters of a service, beside those of its replicas."""
    return {
        "refused": float(sum(stats.refused.values())),
        "queue:sum": stats.queue_seconds.total,
        "queue:count": float(stats.queue_seconds.count),
    }


def values(before: Counters, now: Counters, seconds: float) -> Counters:
    """Return rates and means over the last `seconds` (names and units: contracts ReplicaSample, ServiceSample)."""
    grown = {name: value - before.get(name, 0.0) for name, value in now.items()}
    found = {f"headrace_{name}_per_second": value / seconds for name, value in grown.items() if ":" not in name}
    for name in [name.removesuffix(":sum") for name in grown if name.endswith(":sum")]:
        if grown[f"{name}:count"] > 0:
            found[f"headrace_{name}_seconds"] = grown[f"{name}:sum"] / grown[f"{name}:count"]
    return found


class Reporter:
    """Publisher of the app-proxy's reports, as a task. A report that cannot be sent is dropped: the next one follows within a
    second.
    """

    name = "status-report"

    def __init__(
        self,
        *,
        proxy_id: ProxyId,
        url: Callable[[], str],
        admin_address: str = "",
        instance: Callable[[], ServiceInstance],
        bus: Bus,
        tables: RouteTables,
        registry: StatsRegistry,
        snapshot: Callable[[], TrafficSnapshot],
        generations: Callable[[], dict[ServiceId, int]],
        ports_failed: Callable[[], dict[int, str]],
        ports_open: Callable[[], frozenset[int]],
        domain: str = "",
        clock: Clock,
        monotonic: Callable[[], float],
    ) -> None:
        self._proxy_id = proxy_id
        self._url = url
        self._admin_address = admin_address
        self._instance = instance
        self._bus = bus
        self._tables = tables
        self._registry = registry
        self._snapshot = snapshot
        self._generations = generations
        self._ports_failed = ports_failed
        self._ports_open = ports_open
        self._domain = domain
        self._clock = clock
        self._monotonic = monotonic
        self._sampled_s = monotonic()
        self._before: dict[UUID, Counters] = {}
        self._held = False
        self._loop = Loop("status-report", self.report, every=EVERY, pause=_GATHER)

    def poke(self) -> None:
        """Request a report soon."""
        self._loop.poke()

    def stop(self) -> None:
        """Make run() return."""
        self._loop.stop()

    async def run(self) -> None:
        """Report until stop(), and once more at the end: it says then that this app-proxy stops."""
        await self._loop.run()
        await self.report()

    async def report(self) -> None:
        """Publish ProxyReport, and HeldReport while requests are queued for a service without a ready replica."""
        snapshot = self._snapshot()
        draining = tuple(
            DrainingRoute(session_id=session_id, in_flight=drain.in_flight, receipt=drain.receipt)
            for session_id, drain in sorted(snapshot.drains.items())
        )
        await publish(
            self._bus,
            ProxyReport(
                proxy_id=self._proxy_id,
                sent_at=self._clock(),
                url=self._url(),
                generations=self._generations(),
                draining=draining,
                ports_failed=dict(sorted(self._ports_failed().items())[:_MAX_PORTS]),
                ports_open=self._ports_open(),
                domain=self._domain,
                admin_address=self._admin_address,
                instance=self._instance(),
            ),
        )
        held = tuple(
            Held(service_id=service_id, requests=waiting.requests, oldest_s=waiting.oldest_s)
            for service_id, waiting in sorted(snapshot.queues.items())
            if waiting.held and waiting.requests
        )
        if held or self._held:
            await publish(self._bus, HeldReport(proxy_id=self._proxy_id, sent_at=self._clock(), services=held))
        self._held = bool(held)

    async def sample(self) -> None:
        """Publish ProxyMetrics: one sample of every replica and service in the tables, idle ones included."""
        snapshot = self._snapshot()
        now_s = self._monotonic()
        seconds = max(now_s - self._sampled_s, _ROUNDING)
        self._sampled_s = now_s
        before, self._before = self._before, {}
        replicas = []
        for session_id, service_id in self._tables.sessions().items():
            stats = self._registry.replicas.get(session_id)
            numbers = self._before[session_id] = replica_counters(stats) if stats else {}
            seen = values(before.get(session_id, {}), numbers, seconds)
            seen["headrace_in_flight"] = float(snapshot.in_flight.get(session_id, 0))
            replicas.append(ReplicaSample(service_id=service_id, session_id=session_id, values=_idle_sample() | seen))
        services = []
        for table in self._tables:
            counted = self._registry.services.get(table.service_id)
            numbers = self._before[table.service_id] = service_counters(counted) if counted else {}
            seen = values(before.get(table.service_id, {}), numbers, seconds)
            waiting = snapshot.queues.get(table.service_id)
            seen["headrace_queued"] = float(waiting.requests) if waiting else 0.0
            services.append(ServiceSample(service_id=table.service_id, values=_IDLE_SERVICE | seen))
        message = ProxyMetrics(
            proxy_id=self._proxy_id, at=self._clock(), samples=tuple(replicas), services=tuple(services)
        )
        await publish(self._bus, message)


def _idle_sample() -> Counters:
    """Return the sample of an idle replica."""
    return {"headrace_requests_per_second": 0.0, "headrace_errors_per_second": 0.0}
