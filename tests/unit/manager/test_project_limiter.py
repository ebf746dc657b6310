"""Turns of projects: some at once, some wait, the rest is refused, and no project takes those of others."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from headrace.common.contracts.ids import ProjectId
from headrace.common.contracts.problems import Unavailable
from headrace.manager.folders.errors import DiskReserve
from headrace.manager.folders.storage import FolderStorage
from headrace.manager.usecases.parsing import ParserPool
from headrace.manager.usecases.project_limiter import ProjectLimiter
from tests.support.wait import eventually

ONE, OTHER = ProjectId(UUID(int=1)), ProjectId(UUID(int=2))


async def test_a_project_waits_for_itself_and_not_for_others() -> None:
    turns = ProjectLimiter(at_once=1, most_waiting=1)
    end = await turns.take(ONE)
    waiting = asyncio.create_task(turns.take(ONE))
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="allowed: 2") as refused:
        await turns.take(ONE)
    assert refused.value.headers == {"Retry-After": "1"}
    async with turns.of(OTHER):
        assert not waiting.done()
    end()
    end()
    (await waiting)()
    async with turns.of(ONE):
        pass


async def test_one_who_gives_up_waiting_leaves_his_place() -> None:
    turns = ProjectLimiter(at_once=1, most_waiting=1)
    end = await turns.take(ONE)
    for _ in range(5):
        waiting = asyncio.create_task(turns.take(ONE))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    end()
    async with turns.of(ONE):
        pass


async def test_a_turn_lasts_as_long_as_the_thread_works_also_when_the_caller_has_gone(tmp_path: Path) -> None:
    turns = ProjectLimiter(at_once=1, most_waiting=0)
    begun, go_on = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(60)

    with ThreadPoolExecutor(1) as threads:
        storage = FolderStorage(DiskReserve(tmp_path), threads, threads, threads, threads, timeout_s=60)
        end = await turns.take(ONE)
        call = asyncio.create_task(storage.call(work, ended=end))
        await asyncio.to_thread(begun.wait, 60)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        with pytest.raises(Unavailable):
            await turns.take(ONE)
        go_on.set()

        async def free() -> bool:
            try:
                (await turns.take(ONE))()
            except Unavailable:
                return False
            return True

        await eventually(free)


async def test_a_parse_whose_caller_has_gone_keeps_the_projects_turn_until_its_thread_ends() -> None:
    parsing = ParserPool(most_waiting=0)
    begun, go_on = threading.Event(), threading.Event()

    def parse() -> None:
        begun.set()
        go_on.wait(60)

    call = asyncio.create_task(parsing.run(ONE, parse))
    await asyncio.to_thread(begun.wait, 60)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    with pytest.raises(Unavailable, match="found 1 requests of the project that read definition files; allowed: 1"):
        await parsing.run(ONE, lambda: 1)
    assert await parsing.run(OTHER, lambda: 2) == 2
    go_on.set()

    async def free() -> bool:
        try:
            return await parsing.run(ONE, lambda: True)
        except Unavailable:
            return False

    await eventually(free)
