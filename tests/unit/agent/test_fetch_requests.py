"""Requests of a fetch, and the rate of a transfer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.agent.domain.fetch_requests import (
    MAX_BATCH_BYTES,
    MAX_BATCH_FILES,
    MAX_BATCH_PATH_BYTES,
    PIECE_BYTES,
    Span,
    WantedObject,
    batches,
    piece,
    pieces_of,
    together,
)
from headrace.agent.domain.transfer_rate import TransferRate
from headrace.agent.domain.transfer_words import transfer_words
from headrace.common.contracts.messages.reports import Transfer
from headrace.common.contracts.snapshot_files import MAX_PARTS, MAX_PARTS_BYTES


def _object(number: int, size: int, *, path: str = "") -> WantedObject:
    return WantedObject(f"{number:064x}", path or f"files/{number}", size, f"{number:064x}")


@given(st.lists(st.integers(0, 2**20), max_size=1200))
def test_batches_have_every_file_once_in_order_and_are_bounded(sizes: list[int]) -> None:
    some = [_object(number, size) for number, size in enumerate(sizes)]
    made = list(batches(some))
    assert [span for batch in made for span in batch] == [Span(one, 0, one.size) for one in some]
    for batch in made:
        assert 0 < len(batch) <= MAX_BATCH_FILES <= MAX_PARTS
        assert sum(span.length for span in batch) <= MAX_BATCH_BYTES <= MAX_PARTS_BYTES


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50), st.integers(1, 2000))
def test_what_is_read_together_fits_and_nothing_more_would(sizes: list[int], most: int) -> None:
    spans = [Span(_object(number, size), 0, size) for number, size in enumerate(sizes)]
    found = together(spans, most)
    assert found == spans[: len(found)] != []
    assert len(found) == 1 or sum(span.length for span in found) <= most
    assert len(found) == len(spans) or sum(span.length for span in spans[: len(found) + 1]) > most


def test_long_paths_make_smaller_batches() -> None:
    some = [_object(number, 1, path="p" * 4000 + str(number)) for number in range(200)]
    made = list(batches(some))
    assert max(sum(len(span.wanted.path) for span in batch) for batch in made) <= MAX_BATCH_PATH_BYTES
    assert sum(map(len, made)) == 200


@given(st.integers(1, 5 * PIECE_BYTES))
def test_pieces_cover_a_file_without_a_gap(size: int) -> None:
    one = _object(1, size)
    at = 0
    for index in range(pieces_of(size)):
        span = piece(one, index)
        assert span.offset == at
        assert 0 < span.length <= PIECE_BYTES
        at += span.length
    assert at == size


def test_what_is_left_of_a_span_begins_after_what_came() -> None:
    assert Span(_object(1, 100), 10, 50).after(20) == Span(_object(1, 100), 30, 30)


def test_the_rate_is_that_of_the_last_ten_seconds() -> None:
    rate = TransferRate(0.0)
    assert (rate.bytes_per_s(), rate.seconds_left(100)) == (0, None)
    for second in range(1, 21):
        rate.note(float(second), 1000 * second)
    for second in range(21, 41):
        rate.note(float(second), 20_000 + 100 * (second - 20))
    assert rate.bytes_per_s() == pytest.approx(100)
    assert rate.seconds_left(23_000) == pytest.approx(10)


def test_what_comes_twice_makes_no_negative_rate() -> None:
    rate = TransferRate(0.0, 1000)
    rate.note(5.0, 500)
    assert rate.bytes_per_s() == 0
    assert rate.seconds_left(10) is None


@pytest.mark.parametrize(
    ("transfer", "words"),
    [
        (Transfer(phase="manifest", bytes_done=0, bytes_total=0), "asks a manager what its folder has"),
        (
            Transfer(phase="fetching", bytes_done=2**30, bytes_total=2**32, bytes_per_s=200 * 2**20, eta_s=15.36),
            "fetches its folder: 1.0 GiB of 4.0 GiB, 200 MiB/s, 15 s left",
        ),
        (
            Transfer(phase="fetching", bytes_done=0, bytes_total=2**20, problem="m:1: refused"),
            "fetches its folder: 0 MiB of 1 MiB; tries again: m:1: refused",
        ),
        (
            Transfer(phase="waiting", bytes_done=0, bytes_total=2**20),
            "another replica on the machine fetches the rest of its folder",
        ),
        (
            Transfer(phase="linking", bytes_done=9, bytes_total=2**20),
            "its folder of 1 MiB is here, and is put together",
        ),
    ],
)
def test_progress_in_words(transfer: Transfer, words: str) -> None:
    assert transfer_words(transfer) == words
