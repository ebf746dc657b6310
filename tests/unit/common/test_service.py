from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from headrace.common.obs.logging import configure_logging
from headrace.common.runtime.service import main, run_tasks
from headrace.common.web.app import WebServer, make_app


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


def test_what_comes_from_outside_ends_a_service_with_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        @asynccontextmanager
        async def build() -> AsyncIterator[list[WebServer]]:
            yield [WebServer(make_app(), host="127.0.0.1", port=port)]

        configure_logging("agent", level="info", log_format="json")
        with pytest.raises(SystemExit) as ended:
            main(build, service="agent")
    assert ended.value.code == 1
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said
    assert f"'127.0.0.1', {port}" in json.loads(said.splitlines()[-1])["why"]
