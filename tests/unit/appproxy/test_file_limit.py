"""Connections and open requests never want more descriptors than a process may have."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.appproxy.file_limit import MIN, RESERVE, ConnectionCapacity, DescriptorBudget, fit_descriptors
from headrace.appproxy.settings import Settings
from headrace.appproxy.worker.shares import settings_for

NUMBERS = st.integers(1, 200_000)


@given(st.integers(MIN, 1 << 30), NUMBERS, NUMBERS)
def test_what_may_be_open_fits_and_some_of_both_may(descriptors: int, connections: int, requests: int) -> None:
    fits = fit_descriptors(descriptors, connections=connections, open_requests=requests)
    assert fits.connections + fits.open_requests <= descriptors - RESERVE
    assert 0 < fits.connections <= connections
    assert 0 < fits.open_requests <= requests
    if connections + requests <= descriptors - RESERVE:
        assert fits == DescriptorBudget(connections, requests)
    else:
        assert fits.open_requests >= min(requests, (descriptors - RESERVE) // 3)


def test_each_worker_has_its_part_and_no_more_than_fits() -> None:
    mine = settings_for(Settings(max_connections=50_000, max_open_requests=20_000), 2, descriptors=1024)
    assert (mine.max_connections, mine.max_open_requests) == (512, 256)
    roomy = settings_for(Settings(max_connections=50_000, max_open_requests=20_000), 2, descriptors=1 << 20)
    assert (roomy.max_connections, roomy.max_open_requests) == (25_000, 10_000)


def test_it_is_said_in_numbers_what_fits_and_when_it_is_full() -> None:
    assert ConnectionCapacity.of(2, 1 << 20, 50_000, 20_000) == ConnectionCapacity(50_000, None)
    room = ConnectionCapacity.of(2, 1024, 50_000, 20_000)
    assert room.warning is not None
    assert "1024 open files" in room.warning
    assert "1024 connections and 512 open requests fit; set are 50000 and 20000" in room.warning
    assert room.full(1023) is None
    assert room.full(1024) == "1024 of 1024 connections: further ones are answered 503"
