"""What the parent keeps: generations that all workers have reached, receipts of workers that ended, and a worker's part of bounds."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.control.workers.acks import AppliedGenerations, DrainTotals
from headrace.appproxy.control.workers.process import _environment
from headrace.appproxy.ipc.snapshot import DrainCounts, TrafficSnapshot, merge_snapshots
from headrace.appproxy.settings import Settings
from headrace.appproxy.worker.shares import settings_for, share, table_for
from headrace.common.contracts.ids import ServiceId, SessionId
from headrace.common.contracts.messages.routes import Limits
from tests.support.factories.route_tables import table

ONE, TWO = ServiceId(UUID(int=1)), ServiceId(UUID(int=2))


A, B = SessionId(UUID(int=3)), SessionId(UUID(int=4))


def drained(
    in_flight: int = 0,
    *,
    started: int = 0,
    finished: int = 0,
    retried: int = 0,
    failed: int = 0,
    cut: int = 0,
    slowest_s: float = 0.0,
) -> DrainCounts:
    return DrainCounts(
        in_flight=in_flight,
        started=started,
        finished=finished,
        retried=retried,
        failed=failed,
        cut=cut,
        slowest_s=slowest_s,
    )


def test_a_generation_counts_once_the_slowest_has_reached_it() -> None:
    generations = AppliedGenerations()
    generations.sent(1, ONE, 10)
    generations.sent(2, TWO, 20)
    generations.sent(3, ONE, 11)
    assert not generations.acknowledged(0)
    assert generations.acknowledged(1)
    assert generations.confirmed() == {ONE: 10}
    assert generations.acknowledged(5)
    assert generations.confirmed() == {ONE: 11, TWO: 20}
    assert not generations.acknowledged(5)
    generations.sent(6, ONE, None)
    assert generations.confirmed() == {ONE: 11, TWO: 20}
    assert generations.acknowledged(6)
    assert generations.confirmed() == {TWO: 20}


def test_what_was_open_on_a_dead_worker_was_cut_and_what_it_told_still_counts() -> None:
    totals = DrainTotals()
    first = drained(2, started=5, finished=1, retried=1, failed=1, slowest_s=3.5)
    totals.add(TrafficSnapshot(drains={A: first}), 0)
    totals.add(TrafficSnapshot(drains={A: drained(started=2, finished=1, cut=1, slowest_s=1.0)}), 1)
    lives = TrafficSnapshot(drains={A: drained(1, started=1, slowest_s=0.5)})
    assert merge_snapshots([totals.snapshot, lives]).drains == {
        A: drained(1, started=8, finished=2, retried=1, failed=1, cut=3, slowest_s=3.5)
    }


def test_receipts_are_forgotten_ten_minutes_after_but_not_while_the_replica_is_in_the_table() -> None:
    totals = DrainTotals()
    totals.add(TrafficSnapshot(drains={A: drained(), B: drained()}), 0)
    totals.forget({A}, 600)
    assert set(totals.snapshot.drains) == {A, B}
    totals.forget({A}, 601)
    assert set(totals.snapshot.drains) == {A}


@given(st.integers(0, 10**6), st.integers(1, 64))
def test_the_parts_cover_the_bound_and_little_more(bound: int, workers: int) -> None:
    mine = share(bound, workers)
    assert bound <= mine * workers < bound + workers
    assert bool(mine) == bool(bound)


def test_settings_and_tables_are_divided() -> None:
    settings = settings_for(Settings(max_connections=5, max_open_requests=8, workers=2), 2, descriptors=4096)
    assert (settings.max_connections, settings.max_open_requests) == (3, 4)
    one = table(limits=Limits(max_queued=5, max_in_flight_per_replica=5))
    assert table_for(one, 1) is one
    assert table_for(one, 2).limits == Limits(max_queued=3, max_in_flight_per_replica=5)


def test_a_workers_environment_has_no_settings() -> None:
    env = _environment({"HEADRACE_APPPROXY_NATS_PASSWORD": "bus", "headrace_appproxy_id": "x", "PATH": "/bin"})
    assert env == {"PATH": "/bin", "HEADRACE_APPPROXY_CONFIG": "/dev/null"}
