"""The queue loses nothing, is fair by share, is bounded, and gives a caller below its part a way in."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sized
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.dataplane.balancing.fair_queue import FairQueue, Ticket

SHARES = {"a": 1, "b": 3, "c": 2, "d": 1}
CALLERS = st.sampled_from(sorted(SHARES))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), CALLERS, st.integers(0, 30)),
        st.tuples(st.just("pop"), st.just(""), st.just(0)),
        st.tuples(st.just("cancel"), st.just(""), st.integers(0, 1000)),
        st.tuples(st.just("expire"), st.just(""), st.just(0)),
        st.tuples(st.just("resize"), st.just(""), st.integers(0, 12)),
    ),
    max_size=150,
)


def put(
    queue: FairQueue[int], caller: str, item: int = 0, *, share: int = 1, now: float = 0, until: float = 1e9
) -> bool:
    return queue.push(item, caller=caller, share=share, now_s=now, deadline_s=until).ticket is not None


def order(queue: FairQueue[int], count: int | None = None) -> list[str]:
    taken: list[str] = []
    while (count is None or len(taken) < count) and (ticket := queue.pop()) is not None:
        taken.append(ticket.caller)
    return taken


@given(steps=STEPS, bound=st.integers(0, 12))
def test_no_item_is_lost_or_doubled(steps: list[tuple[str, str, int]], bound: int) -> None:
    queue: FairQueue[int] = FairQueue(bound)
    waiting: dict[int, Ticket[int]] = {}

    def left(ticket: Ticket[int]) -> None:
        assert waiting.pop(ticket.item) is ticket
        assert not ticket.waiting
        assert not queue.cancel(ticket)

    for now, (what, caller, number) in enumerate(steps):
        before = len(queue)
        if what == "push":
            pushed = queue.push(now, caller=caller, share=SHARES[caller], now_s=now, deadline_s=now + number)
            if pushed.evicted is not None:
                assert pushed.ticket is not None
                left(pushed.evicted)
            if pushed.ticket is not None:
                waiting[now] = pushed.ticket
            assert before < queue.max_queued or len(queue) == before
        elif what == "pop":
            ticket = queue.pop()
            assert (ticket is None) == (not waiting)
            if ticket is not None:
                mine = [one.item for one in waiting.values() if one.caller == ticket.caller]
                assert ticket.item == min(mine), "first in, first out within a caller"
                left(ticket)
        elif what == "cancel" and waiting:
            ticket = waiting[sorted(waiting)[number % len(waiting)]]
            assert queue.cancel(ticket)
            left(ticket)
        elif what == "expire":
            due = {item for item, one in waiting.items() if one.deadline_s <= now}
            gone = queue.expired(now)
            assert [one.deadline_s for one in gone] == sorted(one.deadline_s for one in gone)
            assert {one.item for one in gone} == due
            for one in gone:
                left(one)
        elif what == "resize":
            queue.max_queued = number
        assert len(queue) == len(waiting)
        assert queue.oldest_s == min((one.pushed_s for one in waiting.values()), default=None)
        assert all(queue.held_by(name) == sum(one.caller == name for one in waiting.values()) for name in SHARES)
    assert {ticket.item for ticket in iter(queue.pop, None)} == set(waiting)
    assert len(queue) == 0
    assert queue.oldest_s is None


@given(flood=st.integers(1, 60), gone=st.integers(0, 60), theirs=st.integers(1, 5), mine=st.integers(1, 5))
def test_a_flood_delays_a_single_request_by_at_most_one_round(flood: int, gone: int, theirs: int, mine: int) -> None:
    queue: FairQueue[int] = FairQueue(1000)
    for _ in range(flood):
        put(queue, "flood", share=theirs)
    order(queue, min(gone, flood - 1))
    put(queue, "single", share=mine)
    assert order(queue).index("single") <= ceil(theirs / mine)


@given(shares=st.lists(st.integers(1, 6), min_size=2, max_size=4), rounds=st.integers(1, 5))
def test_while_all_wait_they_go_by_share(shares: list[int], rounds: int) -> None:
    queue: FairQueue[int] = FairQueue(10_000)
    for number, share in enumerate(shares):
        for _ in range(share * rounds * 2):
            put(queue, str(number), share=share)
    went = Counter(order(queue, sum(shares) * rounds))
    assert all(abs(went[str(number)] - share * rounds) <= 1 for number, share in enumerate(shares))


def test_shares_one_and_three_give_one_and_three() -> None:
    queue: FairQueue[int] = FairQueue(1000)
    for _ in range(300):
        put(queue, "one", share=1)
        put(queue, "three", share=3)
    assert Counter(order(queue, 400)) == {"one": 100, "three": 300}


def test_who_was_away_gets_no_credit_for_it() -> None:
    queue: FairQueue[int] = FairQueue(1000)
    put(queue, "late")
    for _ in range(100):
        put(queue, "busy")
    order(queue, 51)  # late's only one, and fifty
    for _ in range(20):
        put(queue, "late")
    went = order(queue, 20)
    assert 9 <= went.count("late") <= 11


def test_an_endless_row_of_new_callers_holds_nobody_up() -> None:
    queue: FairQueue[int] = FairQueue(10)
    put(queue, "patient")
    for number in range(3):
        put(queue, f"new-{number}")
        if "patient" in order(queue, 1):
            return
    pytest.fail("newcomers went ahead again and again")


def test_alone_a_caller_may_fill_the_queue_and_no_more() -> None:
    queue: FairQueue[int] = FairQueue(5)
    assert [put(queue, "a", n) for n in range(7)] == [True] * 5 + [False] * 2
    assert not put(FairQueue(0), "a")


def test_who_is_below_its_part_pushes_out_the_newest_of_the_fullest() -> None:
    queue: FairQueue[int] = FairQueue(6)
    for number in range(6):
        put(queue, "flood", number)
    outs = []
    for number in range(4):
        pushed = queue.push(100 + number, caller="other", share=1, now_s=0, deadline_s=9)
        outs.append(None if pushed.evicted is None else pushed.evicted.item)
    assert outs == [5, 4, 3, None], "three each, and then the queue is fair and full"
    assert not put(queue, "flood")


def test_a_callers_only_item_is_never_pushed_out() -> None:
    queue: FairQueue[int] = FairQueue(3)
    for name in ("a", "b", "c"):
        put(queue, name)
    assert not put(queue, "great", share=1000)
    assert order(queue) == ["a", "b", "c"]


@given(pushes=st.lists(CALLERS, min_size=30, max_size=200))
def test_a_full_queue_that_all_want_more_of_is_shared_by_share(pushes: list[str]) -> None:
    queue: FairQueue[int] = FairQueue(14)
    held: dict[str, int] = defaultdict(int)
    for name in pushes + sorted(SHARES) * 14:
        put(queue, name, share=SHARES[name])
    held = {name: queue.held_by(name) for name in SHARES}
    assert sum(held.values()) == 14
    assert all(abs(held[name] - 2 * share) <= share for name, share in SHARES.items())


def test_memory_stays_bounded_when_everybody_gives_up() -> None:
    queue: FairQueue[int] = FairQueue(100)
    for number in range(90):
        put(queue, "waits", number)
    for number in range(5000):
        pushed = queue.push(number, caller=f"c{number}", share=1, now_s=number, deadline_s=number + 1e6)
        assert pushed.ticket is not None
        queue.cancel(pushed.ticket)
    kept: tuple[Sized, ...] = (queue._deadlines, queue._arrivals, queue._due, queue._fullest or [])
    assert max(map(len, kept)) < 500
    assert len(queue._flows) == 1
