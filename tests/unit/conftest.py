"""Fixtures of the unit tests, which refuse servers and the network."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

import pytest

_CONNECTS = socket.socket.connect
_SYNCS = os.fsync


def _is_of_this_machine(family: int, address: Any) -> bool:
    if family not in (socket.AF_INET, socket.AF_INET6):
        return True
    host = str(address[0])
    try:
        return host in ("", "localhost") or ip_address(host).is_loopback
    except ValueError:
        return False


class OutsideError(Exception):
    """A unit test tried to connect to another machine."""


def _connect(self: socket.socket, address: Any) -> None:
    if not _is_of_this_machine(self.family, address):
        raise OutsideError(f"a unit test may reach this machine alone, not {address}")
    _CONNECTS(self, address)


@pytest.fixture(autouse=True)
def _no_network() -> Iterator[None]:
    """Refuse connections to other machines."""
    socket.socket.connect = _connect  # type: ignore[method-assign, assignment]
    yield
    socket.socket.connect = _CONNECTS  # type: ignore[method-assign]


def _fsync(fd: int) -> None:
    os.fstat(fd)  # an error, as from fsync, where it is not open


@pytest.fixture(autouse=True)
def _no_waits_for_disks() -> Iterator[None]:
    """Sync no file: no machine loses its power here, and ten thousand waits for a disk that others use are minutes."""
    os.fsync = _fsync  # type: ignore[assignment]
    yield
    os.fsync = _SYNCS


@pytest.fixture
def servers() -> None:
    """Refuse the servers of integration tests, and with them database and bus."""
    pytest.fail("a unit test has no servers; a test with PostgreSQL, NATS or Valkey belongs to tests/integration")
