from __future__ import annotations

from collections.abc import Iterator

import pytest

from headrace.sdk import Client
from tests.unit.sdk.standin import KEY, StandIn, stand_in


@pytest.fixture
def there() -> Iterator[StandIn]:
    """A server."""
    with stand_in() as running:
        yield running


@pytest.fixture
def client(there: StandIn, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client of it that does not wait between two tries."""
    with Client(there.url, KEY) as made:
        monkeypatch.setattr(made._transport, "sleep", lambda _: None)
        yield made
