"""What the parent keeps: generations that all workers have reached, receipts of workers that ended, and a worker's part of bounds."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.control.workers.acks import AppliedGenerations, DrainTotals
from headrace.appproxy.control.workers.process import _environment, settings_message
from headrace.appproxy.ipc.snapshot import WorkerSnapshot, merge_snapshots
from headrace.appproxy.settings import Settings
from headrace.appproxy.worker.shares import part, settings_for, table_for
from headrace.common.contracts.ids import ServiceId
from headrace.common.contracts.messages.routes import Limits
from tests.unit.appproxy.tables import table

ONE, TWO = ServiceId(UUID(int=1)), ServiceId(UUID(int=2))


def told(**drains: list[float]) -> WorkerSnapshot:
    return {"open": {}, "drains": drains, "queued": {}, "out": [], "connections": 0}


def test_a_generation_counts_once_the_slowest_has_reached_it() -> None:
    generations = AppliedGenerations()
    generations.sent(1, ONE, 10)
    generations.sent(2, TWO, 20)
    generations.sent(3, ONE, 11)
    assert not generations.reached(0)
    assert generations.reached(1)
    assert generations.confirmed() == {ONE: 10}
    assert generations.reached(5)
    assert generations.confirmed() == {ONE: 11, TWO: 20}
    assert not generations.reached(5)
    generations.sent(6, ONE, None)
    assert generations.confirmed() == {ONE: 11, TWO: 20}
    assert generations.reached(6)
    assert generations.confirmed() == {TWO: 20}


def test_what_was_open_on_a_dead_worker_was_cut_and_what_it_told_still_counts() -> None:
    receipts = DrainTotals()
    receipts.add(told(a=[2, 5, 1, 1, 1, 0, 3.5]), 0)
    receipts.add(told(a=[0, 2, 1, 0, 0, 1, 1.0]), 1)
    drain = merge_snapshots([receipts.snapshot, told(a=[1, 1, 0, 0, 0, 0, 0.5])]).drains["a"]
    assert (drain.in_flight, drain.counts, drain.slowest_s) == (1, [8, 2, 1, 1, 3], 3.5)


def test_receipts_are_forgotten_ten_minutes_after_but_not_while_the_replica_is_in_the_table() -> None:
    receipts = DrainTotals()
    receipts.add(told(a=[0] * 7, b=[0] * 7), 0)
    receipts.forget({"a"}, 600)
    assert set(receipts.snapshot["drains"]) == {"a", "b"}
    receipts.forget({"a"}, 601)
    assert set(receipts.snapshot["drains"]) == {"a"}


@given(st.integers(0, 10**6), st.integers(1, 64))
def test_the_parts_cover_the_bound_and_little_more(bound: int, workers: int) -> None:
    mine = part(bound, workers)
    assert bound <= mine * workers < bound + workers
    assert bool(mine) == bool(bound)


def test_settings_and_tables_are_divided() -> None:
    settings = settings_for(Settings(max_connections=5, max_open_requests=8, workers=2), 2, descriptors=4096)
    assert (settings.max_connections, settings.max_open_requests) == (3, 4)
    one = table(limits=Limits(max_queued=5, max_in_flight_per_replica=5))
    assert table_for(one, 1) is one
    assert table_for(one, 2).limits == Limits(max_queued=3, max_in_flight_per_replica=5)


def test_a_worker_has_the_settings_of_its_parent_and_not_the_bus() -> None:
    settings = Settings(
        redis_url="redis://:s3cret@127.0.0.1/0",
        nats_password="bus",
        nats_user="me",
        workers=3,
        trusted_peers=["10.0.0.0/8"],
    )
    message = settings_message(settings)
    assert "bus" not in message.values()
    again = Settings(**message)
    assert again == settings.model_copy(update={"nats_password": again.nats_password, "nats_user": again.nats_user})
    assert again.nats_password.get_secret_value() == ""


def test_a_workers_environment_has_no_settings() -> None:
    env = _environment({"HEADRACE_APPPROXY_NATS_PASSWORD": "bus", "headrace_appproxy_id": "x", "PATH": "/bin"})
    assert env == {"PATH": "/bin", "HEADRACE_APPPROXY_CONFIG": "/dev/null"}
