"""What a unit test may not do."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.unit.conftest import OutsideError

ELSEWHERE = ("192.0.2.1", 9)


def test_a_unit_test_cannot_reach_another_machine() -> None:
    with socket.socket() as connection, pytest.raises(OutsideError, match=r"192\.0\.2\.1"):
        connection.connect(ELSEWHERE)


async def test_nor_can_it_from_an_event_loop() -> None:
    with pytest.raises(OutsideError, match=r"192\.0\.2\.1"):
        await asyncio.open_connection(*ELSEWHERE)


def test_it_can_reach_its_own() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5) as connection,
    ):
        assert connection.getpeername() == server.getsockname()
