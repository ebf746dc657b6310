from __future__ import annotations

import asyncio

import pytest

from headrace.common.runtime.service import run_tasks


class Recorder:
    def __init__(self, name: str, trace: list[str], *, fails: bool = False, deaf: bool = False) -> None:
        self.name = name
        self._trace = trace
        self._fails = fails
        self._deaf = deaf
        self._stop = asyncio.Event()

    def stop(self) -> None:
        self._trace.append(f"stop {self.name}")
        if not self._deaf:
            self._stop.set()

    async def run(self) -> None:
        if self._fails:
            raise RuntimeError(self.name)
        await self._stop.wait()
        self._trace.append(f"end {self.name}")


async def test_tasks_stop_in_reverse_order() -> None:
    trace: list[str] = []
    stop = asyncio.Event()
    stop.set()
    await run_tasks([Recorder("a", trace), Recorder("b", trace)], stop)
    assert trace == ["stop b", "end b", "stop a", "end a"]


async def test_a_task_that_fails_ends_the_service_with_its_error() -> None:
    trace: list[str] = []
    with pytest.raises(RuntimeError, match="b"):
        await run_tasks([Recorder("a", trace), Recorder("b", trace, fails=True)], asyncio.Event())
    assert "end a" in trace


async def test_a_deaf_task_is_cut_after_the_grace() -> None:
    trace: list[str] = []
    stop = asyncio.Event()
    stop.set()
    await asyncio.wait_for(run_tasks([Recorder("a", trace, deaf=True)], stop, grace_s=0.01), 5)
    assert trace == ["stop a"]
