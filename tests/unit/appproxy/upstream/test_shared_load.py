"""The board that workers share: each sees the others' load, who waits is told of room, and who claims takes turns."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.control.workers.rows import RowAllocator
from headrace.appproxy.dataplane.upstream.shared_load import InFlightCell, InFlightTable
from headrace.common.contracts.ids import SessionId

TURN_NS = 20_000_000


class Bells:
    """Who was rung, and what time it is."""

    def __init__(self) -> None:
        self.rung: list[int] = []
        self.now_ns = 0

    def places(self, row: memoryview, columns: int) -> list[InFlightCell]:
        return [InFlightCell(row, column, self.rung.append, lambda: self.now_ns) for column in range(columns)]


@pytest.fixture
def row() -> memoryview:
    return memoryview(bytearray(8 * 4)).cast("q")


def test_who_is_alone_sees_nobody_and_rings_nobody() -> None:
    bells = Bells()
    (alone,) = bells.places(memoryview(bytearray(8)).cast("q"), 1)
    alone.publish(3)
    alone.claim(wanted=True)
    alone.publish(2)
    assert (alone.others(), bells.rung) == (0, [])


def test_each_sees_what_the_others_have_open(row: memoryview) -> None:
    first, second, third = Bells().places(row, 3)
    first.publish(3)
    second.publish(4)
    assert (first.others(), second.others(), third.others()) == (4, 3, 7)
    first.publish(0)
    assert (first.others(), second.others(), third.others()) == (4, 0, 4)


def test_a_claim_keeps_a_place_free_for_who_waits_and_is_no_load_to_itself(row: memoryview) -> None:
    waiting, other = Bells().places(row, 2)
    other.publish(1)
    waiting.claim(wanted=True)
    assert (waiting.others(), other.others()) == (1, 1)
    other.publish(0)
    assert (waiting.others(), other.others()) == (0, 1)
    waiting.publish(1)
    waiting.claim(wanted=False)
    assert (waiting.others(), other.others()) == (0, 1)


def test_who_makes_room_rings_those_who_wait_and_nobody_else(row: memoryview) -> None:
    bells = Bells()
    first, second, third = bells.places(row, 3)
    first.publish(2)
    first.publish(1)
    assert bells.rung == []
    second.claim(wanted=True)
    third.publish(1)  # one more open makes no room
    assert bells.rung == []
    first.publish(0)
    third.publish(0)
    assert bells.rung == [1, 1]


def test_among_those_who_wait_it_is_ones_turn_after_the_others(row: memoryview) -> None:
    bells = Bells()
    places = bells.places(row, 4)
    for column in (0, 2, 3):
        places[column].claim(wanted=True)
    for turn in range(7):
        bells.now_ns = turn * TURN_NS
        free_for = [column for column in range(4) if places[column].others() == 0]
        assert free_for == [(0, 2, 3)[turn % 3]]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.one_of(st.integers(0, 1000).map(lambda n: ("show", n)), st.booleans().map(lambda b: ("claim", b))),
        ),
        max_size=60,
    ),
    st.integers(0, 10**12),
)
def test_what_is_seen_is_the_sum_whatever_happens(steps: list[tuple[int, tuple[str, int]]], now_ns: int) -> None:
    bells = Bells()
    bells.now_ns = now_ns
    places = bells.places(memoryview(bytearray(8 * 4)).cast("q"), 4)
    numbers, claims = [0] * 4, [False] * 4
    for column, (what, value) in steps:
        if what == "show":
            numbers[column] = value
            places[column].publish(value)
        else:
            claims[column] = bool(value)
            places[column].claim(wanted=bool(value))
    entitled = [column for column in range(4) if claims[column] and places[column]._has_turn()]
    assert len(entitled) == (1 if any(claims) else 0)
    for column in range(4):
        claimed = sum(claims) - claims[column]
        others = sum(numbers) - numbers[column]
        assert places[column].others() == others + (0 if column in entitled else claimed)


@pytest.fixture
def board() -> Iterator[InFlightTable]:
    made = InFlightTable.make(rows=10, columns=4)
    yield made
    gc.collect()
    made.close()


def test_another_process_opens_the_same_board(board: InFlightTable) -> None:
    other = InFlightTable(os.dup(board.fds[0]), [os.dup(fd) for fd in board.fds[1:]], rows=10)
    mine, theirs = board.cell(3, 0), other.cell(3, 1)
    theirs.publish(5)
    assert (mine.others(), board.in_flight(3, 1), board.is_empty(3), board.is_empty(2)) == (5, 5, False, True)
    mine.claim(wanted=True)
    theirs.publish(4)
    assert os.eventfd_read(other.wakeup_fd(0)) == 1
    del theirs
    other.close()
    board.clear(1)
    assert (mine.others(), board.in_flight(3, 1), board.is_empty(3)) == (0, 0, False)
    mine.claim(wanted=False)
    assert board.is_empty(3)
    del mine


def test_a_bell_that_was_heard_is_quiet(board: InFlightTable) -> None:
    board.wake(2)
    board.wake(2)
    board.clear_wakeup(2)
    with pytest.raises(BlockingIOError):
        os.eventfd_read(board.wakeup_fd(2))
    board.clear_wakeup(2)


def sessions(*numbers: int) -> list[SessionId]:
    return [SessionId(UUID(int=number)) for number in numbers]


def test_a_row_is_used_again_once_everybody_has_let_go_and_it_is_empty() -> None:
    one, two = sessions(1, 2)
    rows = RowAllocator(1)
    assert (rows.take(one), rows.take(one), rows.take(two)) == (0, 0, None)
    rows.release([one], 7)
    rows.sweep(6, lambda _: True)
    assert rows.take(two) is None
    rows.sweep(7, lambda _: False)
    assert rows.take(two) is None
    rows.sweep(7, lambda _: True)
    assert (rows.take(two), rows.items()) == (0, [(two, 0)])


def test_a_replica_that_comes_back_keeps_its_row_and_the_longest_unused_goes_first() -> None:
    one, two, three = sessions(1, 2, 3)
    rows = RowAllocator(3)
    assert [rows.take(one), rows.take(two)] == [0, 1]
    rows.release([one], 1)
    assert rows.take(one) == 0
    rows.sweep(9, lambda _: True)
    assert rows.take(one) == 0
    rows.release([one], 2)
    rows.sweep(9, lambda _: True)
    assert rows.take(three) == 2
