"""Bodies that are stored while they come."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from headrace.common.contracts.problems import InvalidRequest, TooLarge
from headrace.manager.usecases.receiving import PART_BYTES, receive
from tests.support.wait import eventually


class Taker:
    """What is taken; `turn` is waited for by each call."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.turn = asyncio.Event()
        self.turn.set()
        self.busy = 0
        self.fails: Exception | None = None

    async def __call__(self, part: bytes) -> None:
        self.busy += 1
        assert self.busy == 1
        await self.turn.wait()
        self.busy -= 1
        if self.fails is not None:
            raise self.fails
        self.parts.append(part)


async def chunks(
    *given: bytes, then: asyncio.Event | None = None, error: Exception | None = None
) -> AsyncIterator[bytes]:
    for one in given:
        yield one
    if then is not None:
        await then.wait()
    if error is not None:
        raise error


async def test_a_body_is_taken_in_order_in_parts_that_are_worth_a_thread() -> None:
    taker, given = Taker(), [bytes([n % 251]) * 65_536 for n in range(100)]
    await receive(chunks(*given), taker, idle_s=5, kept="")
    assert b"".join(taker.parts) == b"".join(given)
    assert len(taker.parts) <= len(given) * 65_536 // PART_BYTES + 1
    assert max(map(len, taker.parts)) < PART_BYTES + 65_536


async def test_the_next_part_is_read_while_one_is_taken_and_no_more_than_that() -> None:
    taker, read = Taker(), 0
    taker.turn.clear()

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 65_536
            yield bytes(65_536)

    work = asyncio.create_task(receive(endless(), taker, idle_s=3600, kept=""))
    await eventually(lambda: read >= 2 * PART_BYTES)
    for _ in range(100):
        await asyncio.sleep(0)
    assert read <= 2 * PART_BYTES + 2 * 65_536
    taker.fails = TooLarge("enough", limit=1)
    taker.turn.set()
    with pytest.raises(TooLarge):
        await work
    assert taker.parts == []  # and what follows on what was not taken neither


async def test_little_that_comes_is_taken_though_the_sender_is_silent_then() -> None:
    taker, never = Taker(), asyncio.Event()
    work = asyncio.create_task(receive(chunks(b"little", then=never), taker, idle_s=30, kept=""))
    await eventually(lambda: taker.parts == [b"little"])
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work


async def test_a_refusal_is_told_at_once_though_the_sender_is_silent() -> None:
    taker, never = Taker(), asyncio.Event()
    taker.fails = TooLarge("enough", limit=1)
    async with asyncio.timeout(60):
        with pytest.raises(TooLarge):
            await receive(chunks(b"x", then=never), taker, idle_s=3600, kept="")


@pytest.mark.parametrize("how", ["broken", "cancelled", "silent"])
async def test_what_came_before_the_sender_went_away_is_taken(how: str) -> None:
    taker, never = Taker(), asyncio.Event()
    taker.turn.clear()
    error = InvalidRequest("broken") if how == "broken" else None
    body = chunks(b"a" * PART_BYTES, b"b", then=None if error else never, error=error)
    work = asyncio.create_task(receive(body, taker, idle_s=0.3 if how == "silent" else 30, kept="the rest"))
    await eventually(lambda: taker.busy == 1)
    if how == "cancelled":
        for _ in range(10):
            await asyncio.sleep(0)
        work.cancel()
    asyncio.get_running_loop().call_later(0.6, taker.turn.set)
    with pytest.raises((InvalidRequest, asyncio.CancelledError)):
        await work
    assert b"".join(taker.parts) in (
        {b"a" * PART_BYTES + b"b"} | ({b"a" * PART_BYTES} if how == "cancelled" else set())
    )
