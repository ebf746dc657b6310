"""What is no address of a bus is refused as a bus that is not there."""

from __future__ import annotations

import pytest

from headrace.common.bus.connect import open_bus
from headrace.common.contracts.problems import BusUnavailable


@pytest.mark.parametrize("url", ["nats://127.0.0.1:abc", "nats://"])
async def test_it_is_said_in_our_words(url: str) -> None:
    with pytest.raises(BusUnavailable, match="cannot connect to NATS"):
        async with open_bus(url, user="u", password="p", name="n"):
            pytest.fail("it opened")
