"""Host ports on a machine that is shared."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

import pytest

from headrace.agent.domain.ports import PortRange
from headrace.agent.hostports import HostPorts
from headrace.agent.runtime.interface import StartRefused


def listen(port: int) -> socket.socket:
    """Take the port as a server does."""
    return socket.create_server(("127.0.0.1", port), reuse_port=False)


@pytest.fixture
def pool() -> PortRange:
    """Eight ports that nobody uses, below those of outgoing connections."""
    for first in range(21_000 + os.getpid() % 1000 * 10, 32_000, 8):
        with suppress(OSError):
            for port in range(first, first + 8):
                listen(port).close()
            return PortRange(first, first + 7)
    raise AssertionError("no eight ports in a row are free")


def test_two_agents_with_the_same_range_never_give_out_the_same_port(pool: PortRange) -> None:
    one, other = HostPorts(pool, "127.0.0.1"), HostPorts(pool, "127.0.0.1")
    mine: set[int] = set()
    theirs: set[int] = set()
    for _ in range(4):
        for ports, held in ((one, mine), (other, theirs)):
            port = ports.choose(held)
            ports.release(port)  # its program does not listen yet
            held.add(port)
    assert not mine & theirs
    with pytest.raises(StartRefused, match="all 8 ports"):
        one.choose(mine)
    other.choose(theirs - {max(theirs)})  # a kernel of it is gone
    one.close()
    assert other.choose(theirs) in mine
    other.close()


def test_a_restarted_agent_keeps_the_ports_of_the_kernels_it_finds(pool: PortRange) -> None:
    restarted, other = HostPorts(pool, "127.0.0.1"), HostPorts(pool, "127.0.0.1")
    found = {pool.first, pool.first + 1}
    restarted.release(restarted.choose(found))
    assert other.choose(set()) not in found
    restarted.close()
    other.close()


def test_nobody_takes_a_port_between_its_choice_and_the_programs_start(pool: PortRange) -> None:
    ports = HostPorts(pool, "127.0.0.1")
    port = ports.choose(set())
    with pytest.raises(OSError, match="in use"):
        listen(port)
    ports.release(port)
    listen(port).close()
    ports.close()


def test_a_port_on_which_somebody_listens_is_passed_over(pool: PortRange) -> None:
    with listen(pool.first):
        ports = HostPorts(pool, "127.0.0.1")
        assert ports.choose(set()) == pool.first + 1
        ports.close()


def test_a_restarted_agent_does_not_begin_with_the_port_that_it_gave_out_before(pool: PortRange) -> None:
    """Callers may still be sent there, by an app-proxy that has not heard of the end."""
    before = HostPorts(pool, "127.0.0.1", after=pool.first + 2)
    given = before.choose(set())
    before.close()
    restarted = HostPorts(pool, "127.0.0.1", after=pool.first + 5)
    assert [given, restarted.choose(set())] == [pool.first + 3, pool.first + 6]
    restarted.close()
    at_the_end = HostPorts(pool, "127.0.0.1", after=pool.last)
    assert at_the_end.choose(set()) == pool.first
    at_the_end.close()
