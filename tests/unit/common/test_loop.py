from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from structlog.testing import capture_logs

from headrace.common.runtime import loop as loops
from headrace.common.runtime.loop import Loop, PassDeferred
from tests.support.wait import eventually

LONG = timedelta(hours=1)
NOW = timedelta(0)


async def test_a_poke_during_a_pass_leads_to_another_pass() -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    async def one_pass() -> None:
        entered.set()
        await leave.wait()

    loop = Loop("t", one_pass, every=LONG, pause=NOW)
    task = asyncio.create_task(loop.run())
    await entered.wait()
    loop.poke()
    leave.set()
    await eventually(lambda: loop.passes >= 2)
    loop.stop()
    await task
    assert loop.passes == 2


async def test_a_pass_that_waits_for_something_is_logged_once_without_a_traceback_until_another_one_succeeds() -> None:
    waits_for = ["the bus", "the bus", "the database", None, "the bus"]

    async def one_pass() -> None:
        if len(waits_for) == 1:
            loop.stop()
        why = waits_for.pop(0)
        if why is not None:
            raise PassDeferred(why)

    loop = Loop("t", one_pass, every=timedelta(milliseconds=1), pause=NOW)
    with capture_logs() as logged:
        await loop.run()
    assert [(entry["event"], entry["log_level"], entry["why"]) for entry in logged] == [
        ("pass_deferred", "info", "the bus"),
        ("pass_deferred", "info", "the database"),
        ("pass_deferred", "info", "the bus"),
    ]
    assert not any("exc_info" in entry for entry in logged)
    assert loop.passes == 5
    assert loop.last_success is not None


async def test_many_pokes_before_a_pass_are_one_pass() -> None:
    loop = Loop("t", lambda: asyncio.sleep(0), every=LONG, pause=NOW)
    task = asyncio.create_task(loop.run())
    await eventually(lambda: loop.passes == 1)
    for _ in range(100):
        loop.poke()
    await eventually(lambda: loop.passes == 2)
    loop.stop()
    await task
    assert loop.passes == 2


async def test_a_failing_pass_is_followed_by_the_next() -> None:
    seen = []

    async def one_pass() -> None:
        seen.append(1)
        if len(seen) < 3:
            raise ValueError("no")
        loop.stop()

    loop = Loop("t", one_pass, every=timedelta(milliseconds=1), pause=NOW)
    await asyncio.wait_for(loop.run(), 60)
    assert len(seen) == 3
    assert loop.last_success is not None


async def test_a_pass_that_hangs_is_cut() -> None:
    calls = []

    async def one_pass() -> None:
        calls.append(1)
        if len(calls) == 1:
            await asyncio.Event().wait()
        loop.stop()

    loop = Loop("t", one_pass, every=timedelta(milliseconds=1), pause=NOW, deadline=timedelta(milliseconds=20))
    await asyncio.wait_for(loop.run(), 60)
    assert len(calls) == 2


async def test_stop_lets_the_pass_in_hand_finish() -> None:
    entered, leave, finished = asyncio.Event(), asyncio.Event(), []

    async def one_pass() -> None:
        entered.set()
        await leave.wait()
        finished.append(1)

    loop = Loop("t", one_pass, every=LONG)
    task = asyncio.create_task(loop.run())
    await entered.wait()
    loop.stop()
    leave.set()
    await asyncio.wait_for(task, 60)
    assert finished == [1]


async def test_a_loop_that_is_poked_all_the_time_rests_as_long_as_its_passes_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, pauses = [0.0], list[float]()
    took = [0.004, 0.05, 9.0]

    async def one_pass() -> None:
        clock[0] += took[len(pauses)]
        if len(pauses) == 2:
            loop.poke()

    async def sleep(seconds: float) -> None:
        pauses.append(round(seconds, 6))
        loop.poke()
        if len(pauses) == 3:
            loop.stop()

    monkeypatch.setattr(asyncio, "sleep", sleep)
    loop = Loop("t", one_pass, every=LONG, rest=1.0, monotonic=lambda: clock[0])
    await loop.run()
    assert pauses == [0.01, 0.05, loops.MAX_REST_S]
