"""Windows of traffic: each request is in one of them, whatever the managers do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from headrace.appproxy.control import traffic
from headrace.appproxy.control.traffic import MAX_MESSAGES, TrafficSender
from headrace.appproxy.control.traffic_windows import TrafficCounter
from headrace.appproxy.dataplane.auth.access import DENIALS
from headrace.appproxy.dataplane.route_table import RouteTables
from headrace.appproxy.dataplane.telemetry.stats import StatsRegistry
from headrace.appproxy.ipc.snapshot import QueueDepth, TrafficSnapshot
from headrace.common.bus.connect import Bus
from headrace.common.contracts.ids import RevisionId, ServiceId, SessionId, new_uuid
from headrace.common.contracts.messages.traffic import MAX_REPLICAS, TrafficStored, TrafficWindow
from headrace.common.contracts.problems import BusUnavailable
from tests.support.factories.route_tables import route, table

SERVICE, REVISION = ServiceId(new_uuid()), RevisionId(new_uuid())
ONE = SessionId(new_uuid())
START = datetime(2026, 11, 30, 12, 0, 1, tzinfo=UTC)
NOTHING_OPEN = TrafficSnapshot()


def registry_of(*statuses: int, session: SessionId = ONE) -> StatsRegistry:
    """Return counters of one replica."""
    registry = StatsRegistry()
    for status in statuses:
        registry.replica(SERVICE, "chat", REVISION, session).ended(status, 0.2, 0.02)
    return registry


def test_a_window_has_what_was_counted_since_the_last_one() -> None:
    registry = registry_of(200, 204, 404, 503, 0)
    counter = TrafficCounter(registry, RouteTables())
    (first,) = counter.close()
    (one,) = first.replicas
    assert (one.succeeded, one.client_errors, one.server_errors, one.left) == (2, 1, 1, 1)
    assert (one.latencies, one.first_bytes) == ({7: 4}, {4: 4})
    assert counter.close() == (), "nothing was counted since"
    stats = registry.replicas[ONE]
    stats.ended(200, 3.0, None)
    stats.broke("upstream-closed")
    stats.broke(next(iter(DENIALS)))
    stats.prompt_tokens += 7
    registry.service(SERVICE, "chat").refused_for("queue-full")
    (second,) = counter.close()
    assert second.refused == {"queue-full": 1}
    (again,) = second.replicas
    assert (again.succeeded, again.interrupted, again.prompt_tokens, again.latencies) == (1, 1, 7, {11: 1})


def test_open_and_queued_requests_are_the_mean_of_the_window() -> None:
    known = route()
    tables = RouteTables()
    applied = table("chat", routes=(known,))
    tables.apply(applied)
    counter = TrafficCounter(StatsRegistry(), tables)
    waiting = {applied.service_id: QueueDepth(requests=6, oldest_s=1.0, held=False)}
    counter.look(TrafficSnapshot(in_flight={known.session_id: 4}, queues=waiting))
    counter.look(NOTHING_OPEN)
    (window,) = counter.close()
    assert (window.service_id, window.queued) == (applied.service_id, 3.0)
    assert [(one.session_id, one.in_flight) for one in window.replicas] == [(known.session_id, 2.0)]


def test_replicas_beyond_the_bound_are_summed_by_revision() -> None:
    registry = StatsRegistry()
    for number in range(MAX_REPLICAS + 5):
        stats = registry.replica(SERVICE, "chat", REVISION, SessionId(new_uuid()))
        for _ in range(1 if number < 5 else 2):
            stats.ended(200, 0.2, None)
    (window,) = TrafficCounter(registry, RouteTables()).close()
    assert len(window.replicas) == MAX_REPLICAS + 1
    rest = window.replicas[-1]
    assert (rest.session_id, rest.revision_id, rest.succeeded) == (None, REVISION, 5)
    assert sum(one.succeeded for one in window.replicas) == 5 + 2 * MAX_REPLICAS


class Managers:
    """Managers behind a bus: a window that comes again replaces itself."""

    def __init__(self) -> None:
        self.away = False
        self.stored: dict[tuple[UUID, datetime, ServiceId], int] = {}
        self.windows: list[datetime] = []

    async def ask(
        self, _bus: Bus, window: TrafficWindow, _reply: type[TrafficStored], *, timeout_s: float
    ) -> TrafficStored:
        assert timeout_s > 0
        if self.away:
            raise BusUnavailable("no manager")
        self.windows.append(window.at)
        for one in window.services:
            self.stored[window.writer, window.at, one.service_id] = sum(each.succeeded for each in one.replicas)
        return TrafficStored(stored=len(window.services))

    @property
    def requests(self) -> int:
        return sum(self.stored.values())


class Bench:
    """A sender whose clock the test moves."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = START
        self.managers = Managers()
        monkeypatch.setattr(traffic, "ask", self.managers.ask)
        monkeypatch.setattr(Bus, "connected", property(lambda _: True))
        self.registry = StatsRegistry()
        self.sender = TrafficSender(
            proxy_id="proxy-1",
            bus=Bus(),
            counter=TrafficCounter(self.registry, RouteTables()),
            snapshot=lambda: NOTHING_OPEN,
            clock=lambda: self.now,
            monotonic=self.seconds,
        )

    def seconds(self) -> float:
        """Return the time of the clock that only goes on, but where the test sets both back."""
        return (self.now - START).total_seconds()

    async def after(self, seconds: float, *, requests: int = 0) -> None:
        """Let requests end, and a pass run so many seconds later."""
        for _ in range(requests):
            self.registry.replica(SERVICE, "chat", REVISION, ONE).ended(200, 0.1, None)
        self.now += timedelta(seconds=seconds)
        await self.sender.one_pass()


async def test_windows_begin_at_whole_tens_and_are_told_also_without_traffic(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    await bench.after(5, requests=3)
    assert bench.managers.windows == [], "the window is not over"
    await bench.after(5)
    await bench.after(10)
    assert [at.second for at in bench.managers.windows] == [0, 10]
    assert bench.managers.requests == 3


async def test_a_restart_of_the_managers_costs_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.managers.away = True
    for _ in range(6):
        await bench.after(10, requests=2)
    assert bench.managers.requests == 0
    bench.managers.away = False
    await bench.after(5)
    assert bench.managers.requests == 12
    assert len(bench.managers.windows) == 6


async def test_what_waits_for_managers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    bench.managers.away = True
    for _ in range(MAX_MESSAGES + 10):
        await bench.after(10, requests=1)
    bench.managers.away = False
    for _ in range(MAX_MESSAGES):
        await bench.after(1)
    assert bench.managers.requests == MAX_MESSAGES


async def test_a_clock_that_is_set_back_counts_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(monkeypatch)
    await bench.after(10, requests=1)
    await bench.after(-60, requests=2)
    await bench.after(20, requests=4)
    assert bench.managers.requests == 1, "these are of a window that is not over yet"
    await bench.after(60)
    assert bench.managers.requests == 7
    assert len(bench.managers.windows) == len(set(bench.managers.windows))
