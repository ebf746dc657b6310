"""A bound on the time of work that may lose a cancellation."""

from __future__ import annotations

import asyncio

import pytest

from headrace.common.runtime import cancelling
from headrace.common.runtime.cancelling import within


async def test_the_result_or_error_of_the_work_is_passed_on() -> None:
    async def answer() -> int:
        return 7

    async def fail() -> None:
        raise ConnectionError("refused")

    assert await within(answer(), 60) == 7
    with pytest.raises(ConnectionError, match="refused"):
        await within(fail(), 60)


async def test_work_that_loses_its_cancellation_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As nats-py's connect, which goes on trying for ever then."""
    monkeypatch.setattr(cancelling, "AGAIN_S", 0.01)
    lost = 0

    async def go_on() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                lost += 1
                if lost == 3:
                    raise

    with pytest.raises(TimeoutError):
        await within(go_on(), 0.01)
    assert lost == 3


async def test_a_caller_that_is_cancelled_ends_the_work() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    caller = asyncio.create_task(within(work(), 60))
    await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended.is_set()
