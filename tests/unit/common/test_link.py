"""The link to the bus: connects as often as it takes, begins anew what failed, says why it is not there, closes in order."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from headrace.common.bus import link as module
from headrace.common.bus.connect import Bus, Login
from headrace.common.bus.link import Link
from headrace.common.contracts.problems import BusUnavailable
from headrace.common.runtime import cancelling
from tests.support.ports import free_port
from tests.support.wait import eventually

LOGIN = Login("nats://127.0.0.1:9", "user", "secret", "name")


class FakeBus(Bus):
    """Refuses as many connections as it is told to."""

    def __init__(self, refusals: int = 0) -> None:
        super().__init__()
        self.refusals, self.opens, self.stands = refusals, 0, False

    @property
    def opened(self) -> bool:
        return self.stands

    @property
    def connected(self) -> bool:
        return self.stands

    async def open(self, login: Login, *, timeout_s: float = 5.0) -> None:
        self.opens += 1
        if self.opens <= self.refusals:
            raise BusUnavailable("refused")
        self.stands = True
        self.ended.clear()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST_WAIT_S", 0.001)


async def test_it_connects_as_often_as_it_takes_and_then_serves() -> None:
    bus, served = FakeBus(refusals=3), asyncio.Event()

    async def serve() -> None:
        served.set()
        await asyncio.Event().wait()

    link = Link(bus, LOGIN, serve)
    running = asyncio.create_task(link.run())
    await asyncio.wait_for(served.wait(), 60)
    assert bus.opens == 4
    assert link.check() is None
    link.stop()
    await asyncio.wait_for(running, 60)


async def test_what_fails_for_the_bus_is_begun_anew_on_the_same_connection() -> None:
    bus, begun = FakeBus(), 0

    async def serve() -> None:
        nonlocal begun
        begun += 1
        if begun < 4:
            raise TimeoutError
        await asyncio.Event().wait()

    link = Link(bus, LOGIN, serve)
    running = asyncio.create_task(link.run())
    await eventually(lambda: begun == 4)
    assert bus.opens == 1
    link.stop()
    await asyncio.wait_for(running, 60)


async def test_a_stop_closes_in_reverse_what_was_opened() -> None:
    happened: list[str] = []

    @asynccontextmanager
    async def opened(name: str) -> AsyncIterator[None]:
        happened.append(f"open {name}")
        try:
            yield
        finally:
            happened.append(f"close {name}")

    async def serve() -> None:
        async with opened("first"), opened("second"):
            happened.append("serve")
            await asyncio.Event().wait()

    link = Link(FakeBus(), LOGIN, serve)
    running = asyncio.create_task(link.run())
    await eventually(lambda: "serve" in happened)
    link.stop()
    await asyncio.wait_for(running, 60)
    assert happened == ["open first", "open second", "serve", "close second", "close first"]


async def test_a_stop_ends_a_link_that_never_connected_and_it_says_since_when_and_why() -> None:
    bus = Bus()
    link = Link(bus, Login(f"nats://127.0.0.1:{free_port()}", "user", "secret", "name"), asyncio.Event().wait)  # type: ignore[arg-type]
    running = asyncio.create_task(link.run())
    await eventually(lambda: "Connect" in (link.check() or ""))
    assert re.match(r"not connected to NATS for \d+ s: ", link.check() or "")
    link.stop()
    await asyncio.wait_for(running, 60)
    await bus.close()


async def test_a_stop_ends_also_what_swallowed_its_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python 3.11's `wait_for` does at the moment in which what it waits for is there."""
    monkeypatch.setattr(cancelling, "AGAIN_S", 0.01)
    swallowed, serving = 0, asyncio.Event()

    async def serve() -> None:
        nonlocal swallowed
        while True:
            serving.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if swallowed == 2:
                    raise
                swallowed += 1

    link = Link(FakeBus(), LOGIN, serve)
    running = asyncio.create_task(link.run())
    await asyncio.wait_for(serving.wait(), 60)
    link.stop()
    await asyncio.wait_for(running, 60)
    assert swallowed == 2


async def test_what_is_wrong_in_the_service_itself_ends_it() -> None:
    async def serve() -> None:
        raise KeyError("a mistake")

    with pytest.raises(ExceptionGroup) as raised:
        await asyncio.wait_for(Link(FakeBus(), LOGIN, serve).run(), 60)
    assert [type(error) for error in raised.value.exceptions] == [KeyError]


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(LOGIN)


async def test_a_connection_that_the_server_ended_for_good_is_opened_anew() -> None:
    bus, serves = FakeBus(), 0

    async def serve() -> None:
        nonlocal serves
        serves += 1
        await asyncio.Event().wait()

    link = Link(bus, LOGIN, serve)
    running = asyncio.create_task(link.run())
    assert await eventually(lambda: serves == 1)
    bus.stands = False
    bus.ended.set()
    assert await eventually(lambda: (bus.opens, serves) == (2, 2))
    link.stop()
    await asyncio.wait_for(running, 60)
