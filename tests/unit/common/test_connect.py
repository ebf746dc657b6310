"""What is no address of a bus is refused as a bus that is not there; what the server said of a refusal outlasts a mere end."""

from __future__ import annotations

import pytest
from nats.errors import Error as NatsError
from nats.errors import UnexpectedEOF

from headrace.common.bus.connect import REFUSAL_KEPT_S, ConnectError, open_bus
from headrace.common.contracts.problems import BusUnavailable


@pytest.mark.parametrize("url", ["nats://127.0.0.1:abc", "nats://"])
async def test_it_is_said_in_our_words(url: str) -> None:
    with pytest.raises(BusUnavailable, match="cannot connect to NATS"):
        async with open_bus(url, user="u", password="p", name="n"):
            pytest.fail("it opened")


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
