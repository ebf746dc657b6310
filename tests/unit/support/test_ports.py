"""Ports of tests that run beside each other."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.support.ports import ENOUGH, FIRST, LAST, SIZE, Leases, free_port, port_range


@pytest.fixture
def process() -> Iterator[Leases]:
    """Stands for another process."""
    leases = Leases()
    yield leases
    leases.forget()


def test_two_processes_are_never_given_the_same_port(process: Leases) -> None:
    here = {free_port() for _ in range(3 * SIZE)}
    there = {process.next_port() for _ in range(3 * SIZE)}
    assert not here & there
    assert min(here | there) >= FIRST
    assert max(here | there) <= LAST


def test_a_port_where_somebody_listens_is_passed_over(process: Leases) -> None:
    port = process.next_port()
    process.given -= 1
    with closing(socket.create_server(("127.0.0.1", port))):
        assert process.next_port() != port


def test_the_ports_of_a_process_come_again_once_all_were_given(process: Leases) -> None:
    given = [process.next_port() for _ in range(2 * ENOUGH * SIZE)]
    assert len(process.blocks) == ENOUGH
    assert len(set(given)) > SIZE


def test_a_range_is_nobody_else_s_until_it_is_given_back(process: Leases) -> None:
    with port_range() as (first, last):
        assert last - first == SIZE - 1
        blocks = [process.lease() for _ in range(3)]
        assert all(block.stop <= first or block.start > last for block in blocks)


def test_a_forked_child_does_not_give_out_its_parent_s_ports() -> None:
    mine = free_port()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, str(free_port()).encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = int(os.read(reading, 10))
    os.close(reading)
    os.close(writing)
    assert abs(theirs - mine) > SIZE or theirs // SIZE != mine // SIZE
