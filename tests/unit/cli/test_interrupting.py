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
    looks = 2 if "wait" in words else 1  # the second one: by then it waits
    await eventually(lambda: len(there.seen) >= looks)
    program.send_signal(number)
    _, said = program.communicate(timeout=10)
    assert program.returncode == code, said
    assert "Traceback" not in said
    if "-f" in words:
        assert there.log_closed.wait(5)
