"""Numbers are counted where Prometheus would count them."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.telemetry.stats import SECONDS, ReplicaStats, StatsRegistry
from headrace.appproxy.ipc.stats import StatsDelta
from headrace.common.contracts.ids import RevisionId, ServiceId, SessionId

SERVICE, REVISION = ServiceId(UUID(int=1)), RevisionId(UUID(int=2))
ONE, TWO = SessionId(UUID(int=3)), SessionId(UUID(int=4))


@given(st.floats(0, 1000) | st.sampled_from(SECONDS))
def test_durations_are_counted_up_to_and_with_the_bound(seconds: float) -> None:
    numbers = ReplicaStats(SERVICE, "chat", REVISION, ONE)
    numbers.ended(200, seconds, seconds)
    place = bisect_left(SECONDS, seconds)
    assert [at for at, count in enumerate(numbers.durations.counts) if count] == [place]
    assert numbers.first_bytes.counts == numbers.durations.counts


Event = tuple[int, SessionId, int, float]


def count(book: StatsRegistry, events: list[Event]) -> None:
    """Count something different for each kind of event."""
    for kind, session_id, number, seconds in events:
        replica = book.replica(SERVICE, "chat", REVISION, session_id)
        service = book.service(SERVICE, "chat")
        match kind:
            case 0:
                replica.ended(200 + number, seconds, seconds / 2)
            case 1:
                replica.ended(0, seconds, None)
                replica.broke(f"why-{number}")
                replica.cut += 1
            case 2:
                replica.retried += 1
                service.retried("connect-failed")
                service.ejections += number
            case 3:
                replica.ended(200, seconds, seconds)
                replica.per_event.observe(seconds)
                replica.bytes_sent += number
                replica.bytes_received += number + 1
                replica.prompt_tokens += number + 2
                replica.completion_tokens += number + 3
            case 4:
                service.refused_for(f"reason-{number}")
                service.queue_seconds.observe(seconds)
                service.preflights += 1
            case _:
                book.count_malformed(f"why-{number}")
                book.count_unknown(f"why-{number}")
                book.count_illegal_transition("STREAM", f"event-{number}")
                book.preflights += number


events = st.lists(
    st.tuples(
        st.integers(0, 5), st.sampled_from([ONE, TWO]), st.integers(0, 3), st.integers(0, 4096).map(lambda n: n / 8)
    ),
    max_size=30,
)


def ordered(delta: StatsDelta) -> StatsDelta:
    return replace(delta, replicas=tuple(sorted(delta.replicas, key=lambda counts: counts.session_id)))


@given(events, st.lists(st.integers(0, 2), max_size=30))
def test_what_workers_take_adds_up_to_what_one_book_would_have_counted(happened: list[Event], turns: list[int]) -> None:
    workers, parent, one = [StatsRegistry() for _ in range(3)], StatsRegistry(), StatsRegistry()
    count(one, happened)
    for at, event in enumerate(happened):
        worker = workers[turns[at % len(turns)] if turns else 0]
        count(worker, [event])
        if at % 3 == 0:
            parent.merge(worker.take())
    for worker in workers:
        parent.merge(worker.take())
        assert worker.take() == StatsDelta(malformed={}, unknown={}, illegal_transitions={})
    assert ordered(parent.take()) == ordered(one.take())
