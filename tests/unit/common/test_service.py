from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from pydantic_settings import SettingsConfigDict

from headrace.common.obs.logging import LogFormat
from headrace.common.runtime.service import CannotStartError, Service, main, run_tasks
from headrace.common.runtime.settings import ServiceSettings
from headrace.common.web.app import WebServer, make_app


class JsonSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="HEADRACE_TESTED_")
    log_format: LogFormat = "json"


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
    await asyncio.wait_for(run_tasks([Recorder("a", trace, deaf=True)], stop, grace_s=0.01), 60)
    assert trace == ["stop a"]


def test_what_comes_from_outside_ends_a_service_with_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        @asynccontextmanager
        async def build(_: ServiceSettings) -> AsyncIterator[list[WebServer]]:
            yield [WebServer(make_app(), host="127.0.0.1", port=port)]

        with pytest.raises(SystemExit) as ended:
            main(Service("agent", JsonSettings, build), [])
    assert ended.value.code == 1
    said = "".join(capfd.readouterr())
    assert "Traceback" not in said
    assert f"'127.0.0.1', {port}" in json.loads(said.splitlines()[-1])["why"]


def _nothing(_: ServiceSettings) -> AbstractAsyncContextManager[list[WebServer]]:
    raise CannotStartError("port 1 is taken; port 2 is taken")


def test_surroundings_in_which_a_service_cannot_start_are_one_line_and_status_2(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(Service("agent", JsonSettings, _nothing), [])
    assert ended.value.code == 2
    assert capfd.readouterr().err == "cannot start: port 1 is taken; port 2 is taken\n"


async def _migrated(settings: ServiceSettings) -> str:
    return f"applied with {settings.log_format} logs"


def test_a_word_of_the_service_is_done_instead_of_running_it(capfd: pytest.CaptureFixture[str]) -> None:
    main(Service("manager", JsonSettings, _nothing, commands={"migrate": _migrated}), ["migrate"])
    assert capfd.readouterr().out == "applied with json logs\n"


@pytest.mark.parametrize("words", [["drop"], ["migrate", "now"]])
def test_other_words_are_refused_with_those_that_there_are(capfd: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(Service("manager", JsonSettings, _nothing, commands={"migrate": _migrated}), words)
    assert ended.value.code == 2
    assert capfd.readouterr().err == "usage: python -m headrace.manager [migrate]\n"
