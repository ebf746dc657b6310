"""Ctrl-C and SIGTERM while a command waits, in a real process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiohttp import web

from tests.support.fakes.manager_api import KEY, NOW, FakeManagerApi, problem, service_view, uid
from tests.support.wait import eventually
from tests.support.worlds.cli import Cli

DEPLOYING = service_view()
VALIDATION = {
    "id": uid(4),
    "kind": "validation",
    "status": "running",
    "done": False,
    "verdict": None,
    "started_at": NOW,
    "reason": {"code": "validating", "text": "it is tried"},
}
WAITS = {
    "wait": ["service", "wait", "echo"],
    "create": ["service", "create", "echo", "--runtime", "cmd", "--wait"],
    "update": ["service", "update", "echo", "--description", "d", "--wait"],
    "scale": ["service", "scale", "echo", "2", "--wait"],
    "rollback": ["service", "rollback", "echo", "1", "--wait"],
    "restart": ["service", "restart", "echo", "--wait"],
    "retry": ["service", "retry", "echo", "--wait"],
    "start": ["service", "start", "echo", "--wait"],
    "stop": ["service", "stop", "echo", "--wait"],
    "rm": ["service", "rm", "echo", "--yes", "--wait"],
    "logs": ["service", "logs", "echo", "-f"],
    "validate": ["service", "validate", "--runtime", "cmd"],
}


@pytest.fixture
def deploying(there: FakeManagerApi) -> FakeManagerApi:
    """A server whose service never gets where it is waited for."""
    there.on("GET", "/v1/services/echo", DEPLOYING)
    there.on("GET", f"/v1/services/{uid(1)}", DEPLOYING)
    there.on("PATCH", "/v1/services/echo", DEPLOYING)
    there.on("DELETE", "/v1/services/echo", DEPLOYING)
    there.on("POST", "/v1/services", DEPLOYING, status=201)
    for verb in ("rollback", "restart", "retry", "start", "stop"):
        there.on("POST", f"/v1/services/echo/{verb}", DEPLOYING)
    there.on("POST", "/v1/validations", VALIDATION, status=201)
    there.on("GET", f"/v1/validations/{uid(4)}", VALIDATION)
    there.on("DELETE", f"/v1/validations/{uid(4)}", lambda: web.Response(status=204))
    return there


@contextmanager
def started(url: str, words: list[str]) -> Iterator[subprocess.Popen[str]]:
    """Run a command in a process of its own, which does not outlive this."""
    with subprocess.Popen(
        [sys.executable, "-m", "headrace.cli", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "HEADRACE_URL": url, "HEADRACE_API_KEY": KEY},
    ) as program:
        try:
            yield program
        finally:
            program.kill()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("words", [WAITS["wait"], WAITS["logs"]])
async def test_a_command_that_waits_ends_at_once_and_in_order(
    deploying: FakeManagerApi, home: Path, number: int, code: int, words: list[str]
) -> None:
    with started(deploying.url, words) as program:
        await eventually(lambda: deploying.seen, within_s=90)
        program.send_signal(number)
        _, said = program.communicate(timeout=60)
    assert program.returncode == code, said
    assert said == ("interrupted\n" if code == 130 else "")
    if "-f" in words:
        assert deploying.log_closed.wait(60)


@pytest.mark.parametrize("name", sorted(set(WAITS) - {"wait", "logs"}))
async def test_ctrl_c_is_one_line_and_its_code_whatever_waits(deploying: FakeManagerApi, home: Path, name: str) -> None:
    last = "/v1/validations/" if name == "validate" else "/v1/services/"
    with started(deploying.url, WAITS[name]) as program:
        await eventually(lambda: any(m == "GET" and path.startswith(last) for m, path in deploying.seen), within_s=90)
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=60)
    assert program.returncode == 130, said
    assert said.splitlines()[-1] == "interrupted"
    assert said.count("interrupted") == 1
    assert "Traceback" not in said
    if name == "validate":
        assert ("DELETE", f"/v1/validations/{uid(4)}") in deploying.seen


async def test_ctrl_c_ends_the_wait_for_a_manager_that_is_away(home: Path) -> None:
    with socket.socket() as unused:  # bound, not listening
        unused.bind(("127.0.0.1", 0))
        with started(f"http://127.0.0.1:{unused.getsockname()[1]}", ["service", "ls"]) as program:
            assert program.stderr is not None
            assert "waiting for the manager at" in await asyncio.to_thread(program.stderr.readline)
            program.send_signal(signal.SIGINT)
            _, said = program.communicate(timeout=60)
    assert (program.returncode, said) == (130, "interrupted\n")


def test_a_trial_run_that_cannot_be_stopped_does_not_hide_why_the_wait_ended(
    cli: Cli, deploying: FakeManagerApi
) -> None:
    deploying.on("DELETE", f"/v1/validations/{uid(4)}", lambda: problem("internal", 500))
    ran = cli("service", "validate", "--runtime", "cmd", "--timeout", 1)
    assert ran.code == 5
    assert "not within 1 s" in ran.err.splitlines()[-1]
    assert f"the trial run {uid(4)} goes on" in ran.err


LOST = """
import os, signal, sys, time
from headrace.cli import __main__ as entry
from headrace.cli.signals import RAISED_AGAIN_S

class Dropped:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

def command(**_):
    Dropped()  # what the signal raises in a destructor is lost
    try:
        while True:
            time.sleep(0.01)
    finally:
        until = time.monotonic() + 3 * RAISED_AGAIN_S
        while time.monotonic() < until:
            time.sleep(0.01)
        print("cleaned up")

entry.build = lambda: command
sys.exit(entry.main([]))
"""


def test_a_signal_that_a_destructor_swallows_ends_the_command_all_the_same_and_its_cleaning_up_is_whole() -> None:
    ran = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, timeout=60, check=False)
    assert "Exception ignored" in ran.stderr
    assert (ran.returncode, ran.stdout.strip()) == (143, "cleaned up")
