"""Which services a pass looks at."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from headrace.common.contracts.ids import ServiceId
from headrace.manager.domain.lifecycle.work_queue import WorkQueue

A, B, C = (ServiceId(UUID(int=n)) for n in (1, 2, 3))


def test_a_change_is_looked_at_once_although_its_mark_is_read_again() -> None:
    attention = WorkQueue()
    attention.add_changed({A: 5})
    assert attention.take(10) == [A]
    attention.add_changed({A: 5, B: 6})
    assert attention.take(10) == [B]
    attention.add_changed({A: 7, B: 6})
    assert attention.take(10) == [A]


def test_what_is_under_way_comes_with_time_and_what_drains_with_app_proxies() -> None:
    attention = WorkQueue()
    attention.reconciled(A, settled=False, draining=False)
    attention.reconciled(B, settled=False, draining=True)
    attention.reconciled(C, settled=True, draining=False)
    assert attention.take(10) == []
    attention.add_draining()
    assert attention.take(10) == [B]
    attention.add_in_transition()
    assert attention.take(10) == [A, B]
    attention.reconciled(A, settled=True, draining=False)
    attention.drop([B])
    attention.add_in_transition()
    attention.add_draining()
    assert attention.take(10) == []


def test_services_that_are_added_or_requeued_wait_once_and_are_taken_in_order() -> None:
    attention = WorkQueue()
    attention.add([A, B])
    attention.requeue(C)
    attention.requeue(A)
    assert attention.waiting == 3
    assert (attention.take(2), attention.waiting, attention.take(2)) == ([A, B], 1, [C])


@given(
    st.lists(st.tuples(st.sampled_from(["turn", "changed", "again"]), st.integers(0, 20)), max_size=60),
    st.integers(1, 5),
)
def test_everything_that_is_due_is_taken_once_first_come_first_served(notes: list[tuple[str, int]], most: int) -> None:
    attention, due = WorkQueue(), list[ServiceId]()
    for number, (kind, value) in enumerate(notes):
        service = ServiceId(UUID(int=value))
        if kind == "turn":
            attention.add([service])
        elif kind == "changed":
            attention.add_changed({service: number})
        else:
            attention.requeue(service)
        if service not in due:
            due.append(service)
    taken: list[ServiceId] = []
    while some := attention.take(most):
        assert len(some) <= most
        taken += some
    assert taken == due
    assert attention.waiting == 0
