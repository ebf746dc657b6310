"""What is no address of a bus is refused as a bus that is not there; what the server said of a refusal outlasts a mere end."""

from __future__ import annotations

import re

import pytest
from nats.errors import Error as NatsError
from nats.errors import UnexpectedEOF

from headrace.common.bus.connect import REFUSAL_KEPT_S, Bus, ConnectError, Login, open_bus
from headrace.common.contracts.problems import BusUnavailable
from tests.support.ports import free_port


@pytest.mark.parametrize("url", ["nats://127.0.0.1:abc", "nats://"])
async def test_it_is_said_in_our_words(url: str) -> None:
    with pytest.raises(BusUnavailable, match="cannot connect to NATS"):
        async with open_bus(url, user="u", password="p", name="n"):
            pytest.fail("it opened")


async def test_it_is_said_since_when_it_is_away_and_why_however_often_it_was_tried() -> None:
    bus = Bus()
    for _ in range(2):
        with pytest.raises(BusUnavailable, match="Connect call failed"):
            await bus.open(Login(f"nats://127.0.0.1:{free_port()}", "u", "p", "n"), timeout_s=1)
    said = re.fullmatch(r"not connected to NATS for (\d+) s: .*Connect call failed.*", bus.unreachable() or "")
    assert said is not None
    assert int(said[1]) >= 2, "both attempts, which take a second each"


REFUSED = NatsError("nats: 'Authorization Violation'")


@pytest.mark.parametrize("end", [ConnectionResetError(104, "reset"), TimeoutError(), UnexpectedEOF()])
def test_a_refusal_is_kept_over_attempts_that_merely_end_but_not_for_ever(end: Exception) -> None:
    last = ConnectError()
    last.note(end, 0.0)
    assert last.text == (str(end) or "TimeoutError")
    last.note(REFUSED, 1.0)
    for now in (1.0, REFUSAL_KEPT_S):
        last.note(end, now)
        assert "Authorization" in last.text
    last.note(end, 1.0 + REFUSAL_KEPT_S)
    assert "Authorization" not in last.text


def test_a_refusal_gives_way_to_another_reason_and_to_a_connection() -> None:
    last = ConnectError()
    last.note(REFUSED, 0.0)
    last.note(ConnectionRefusedError(111, "Connect call failed"), 1.0)
    assert "Connect call failed" in last.text
    last.note(REFUSED, 2.0)
    last.note(NatsError("nats: 'maximum connections exceeded'"), 3.0)
    assert "maximum connections" in last.text
    last.lost()
    assert last.text == "the connection was lost"
    last.note(TimeoutError(), 4.0)
    assert last.text == "TimeoutError"
