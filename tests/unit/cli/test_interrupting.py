"""Ctrl-C and SIGTERM while a command waits, in a real process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.wait import eventually
from tests.unit.sdk.standin import KEY, StandIn, service_view


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("words", [["service", "wait", "echo"], ["service", "logs", "echo", "-f"]])
async def test_a_command_that_waits_ends_at_once_and_in_order(
    there: StandIn, home: Path, number: int, code: int, words: list[str]
) -> None:
    there.on("GET", "/v1/services/echo", service_view())
    program = subprocess.Popen(
        [sys.executable, "-m", "headrace.cli", *words],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "HEADRACE_URL": there.url, "HEADRACE_API_KEY": KEY},
    )  # fmt: skip
    await eventually(lambda: there.seen)
    program.send_signal(number)
    _, said = program.communicate(timeout=10)
    assert program.returncode == code, said
    assert "Traceback" not in said
    if "-f" in words:
        assert there.log_closed.wait(5)


LOST = """
import os, signal, sys, time
from headrace.cli import __main__ as entry

class Dropped:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

def command(**_):
    Dropped()  # what the signal raises in a destructor is lost
    try:
        while True:
            time.sleep(0.01)
    finally:
        until = time.monotonic() + 3 * entry.RAISED_AGAIN_S
        while time.monotonic() < until:
            time.sleep(0.01)
        print("cleaned up")

entry.build = lambda: command
sys.exit(entry.main([]))
"""


def test_a_signal_that_a_destructor_swallows_ends_the_command_all_the_same_and_its_cleaning_up_is_whole() -> None:
    ran = subprocess.run([sys.executable, "-c", LOST], capture_output=True, text=True, timeout=30, check=False)
    assert "Exception ignored" in ran.stderr
    assert (ran.returncode, ran.stdout.strip()) == (143, "cleaned up")
