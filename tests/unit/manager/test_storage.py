"""What a thread opens is closed whatever happens to its caller: gone before it was open, gone while it closes, or at the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from headrace.common.contracts.problems import NotFound, Unavailable
from headrace.manager.folders.group_commit import AT_ONCE
from headrace.manager.folders.measuring import UsageWalk
from headrace.manager.folders.storage import open_storage
from tests.support.wait import eventually

WITHIN_S = 60.0


class Handle:
    """Something open, whose close() lasts until it may end."""

    def __init__(self, may_close: threading.Event | None = None) -> None:
        self.closing, self.closed = threading.Event(), threading.Event()
        self._may_close = may_close

    def close(self) -> None:
        self.closing.set()
        if self._may_close is not None:
            self._may_close.wait(WITHIN_S)
        self.closed.set()


class SlowOpen:
    """Opens a handle when it may."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()
        self.handle = Handle()

    def __call__(self) -> Handle:
        self.begun.set()
        self.may_end.wait(WITHIN_S)
        return self.handle


def seen(event: threading.Event) -> Callable[[], bool]:
    return event.is_set


async def cancelled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_is_opened_for_a_caller_that_went_away_is_closed(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        slow = SlowOpen()

        async def use() -> None:
            async with storage.opened(slow):
                pytest.fail("it was waited for")

        task = asyncio.create_task(use())
        await eventually(seen(slow.begun))
        await cancelled(task)
        slow.may_end.set()
        await eventually(seen(slow.handle.closed))


async def test_what_is_opened_for_a_caller_that_was_told_it_takes_too_long_is_closed(tmp_path: Path) -> None:
    with open_storage(tmp_path, timeout_s=0.01) as storage:
        slow = SlowOpen()
        with pytest.raises(Unavailable):
            async with storage.opened(slow):
                pytest.fail("it was waited for")
        slow.may_end.set()
        await eventually(seen(slow.handle.closed))


async def test_what_is_opened_after_the_end_of_the_storage_is_closed(tmp_path: Path) -> None:
    slow = SlowOpen()
    with open_storage(tmp_path) as storage:

        async def use() -> None:
            async with storage.opened(slow):
                pytest.fail("it was waited for")

        task = asyncio.create_task(use())
        await eventually(seen(slow.begun))
    await cancelled(task)
    slow.may_end.set()
    await eventually(seen(slow.handle.closed))


async def test_a_caller_that_goes_away_while_it_closes_leaves_nothing_open(tmp_path: Path) -> None:
    may_close = threading.Event()
    with open_storage(tmp_path, threads=1) as storage:
        before, waiting = Handle(may_close), Handle()
        storage.let_go(before)
        opened = asyncio.Event()

        async def use() -> None:
            async with storage.opened(lambda: waiting):
                opened.set()

        task = asyncio.create_task(use())
        await asyncio.wait_for(opened.wait(), WITHIN_S)
        await eventually(seen(before.closing))
        await cancelled(task)
        may_close.set()
        await eventually(seen(waiting.closed))


async def test_the_end_of_the_storage_drops_nothing_that_waits_to_be_closed(tmp_path: Path) -> None:
    may_close = threading.Event()
    with open_storage(tmp_path, threads=1) as storage:
        first, second = Handle(may_close), Handle()
        storage.let_go(first)
        storage.let_go(second)
        await eventually(seen(first.closing))
    may_close.set()
    await eventually(seen(second.closed))


async def test_the_end_of_the_storage_leaves_no_thread_that_waits_for_the_disk_for_ever(tmp_path: Path) -> None:
    """Python waits for threads before it ends."""
    may_flush = threading.Event()
    begun: list[int] = []

    def flush() -> None:
        begun.append(1)
        may_flush.wait(WITHIN_S)

    with open_storage(tmp_path) as storage:
        flushing = threading.Thread(target=storage.flushing.all, args=([flush] * (AT_ONCE + 2),))
        flushing.start()
        await eventually(lambda: len(begun) == AT_ONCE)
    may_flush.set()
    await asyncio.to_thread(flushing.join, WITHIN_S)
    assert not flushing.is_alive()


async def test_a_step_of_a_walk_that_comes_after_its_end_opens_nothing(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        gone = storage.tree("gone")
        with pytest.raises(NotFound):
            UsageWalk(gone).step()
        walk = UsageWalk(gone)
        await storage.close(walk)
        assert walk.step() is False
