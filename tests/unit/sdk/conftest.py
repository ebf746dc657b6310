from __future__ import annotations

from collections.abc import Iterator

import pytest

from headrace.sdk import Client
from tests.support.fakes.manager_api import KEY, FakeManagerApi, fake_manager_api


@pytest.fixture
def there() -> Iterator[FakeManagerApi]:
    """A server."""
    with fake_manager_api() as running:
        yield running


@pytest.fixture
def client(there: FakeManagerApi, monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client of it that does not wait between two tries."""
    with Client(there.url, KEY) as made:
        monkeypatch.setattr(made._transport, "sleep", lambda _: None)
        yield made
