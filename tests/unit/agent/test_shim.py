"""The shim of the process runtime as a process: what it keeps of a program, and how both end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headrace.agent.runtime.process.proc import ProcessIds
from headrace.agent.runtime.process.shell import SHIM
from headrace.common.runtime.procfs import read_stat
from tests.support.wait import until

SH = ("/bin/sh", "-c")


def lives(pid: int) -> bool:
    stat = read_stat(pid)
    return stat is not None and stat.alive


@dataclass
class Shim:
    """A shim's folder, and the line that it said to its caller."""

    folder: Path
    said: str

    @property
    def ids(self) -> ProcessIds:
        found = ProcessIds.read(self.folder / "state.json")
        assert found is not None
        return found

    def ending(self) -> dict[str, Any]:
        """Return what it wrote when the program had ended, and it itself has."""
        until(lambda: not self.ids.shim_alive)
        return dict(json.loads((self.folder / "exit.json").read_text()))

    def log(self) -> list[str]:
        """Return the log's lines without their times."""
        return [line.partition("Z ")[2] for line in (self.folder / "log").read_text().splitlines()]


Start = Callable[..., Shim]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a program under a shim: `start(*program, group=…)`. All have ended afterwards."""
    started: list[Shim] = []

    def one(*program: str, group: str = "-") -> Shim:
        command = [sys.executable, str(SHIM), str(tmp_path), str(tmp_path / "lock"), "1000000", str(tmp_path), group]
        done = subprocess.run([*command, *program], stdout=subprocess.PIPE, text=True, timeout=60, check=True)
        started.append(Shim(tmp_path, done.stdout.strip()))
        return started[-1]

    yield one
    ids = ProcessIds.read(tmp_path / "state.json")
    if ids is not None and ids.shim_alive:
        os.kill(ids.shim, signal.SIGKILL)


def test_it_keeps_a_programs_output_and_exit_code(start: Start) -> None:
    shim = start(*SH, "pwd; echo out; echo err >&2; printf unfinished; exit 3")
    assert shim.said == "ok"
    assert shim.ending()["code"] == 3
    assert shim.log() == [str(shim.folder), "out", "err", "unfinished"]
    assert not shim.ids.child_alive


def test_the_code_of_a_killed_program_is_the_shells(start: Start) -> None:
    shim = start(*SH, "kill -9 $$")
    assert shim.ending()["code"] == 128 + signal.SIGKILL


def test_a_program_may_close_its_output_and_go_on(start: Start) -> None:
    shim = start(*SH, "echo last; exec >&- 2>&-; while [ ! -e go ]; do sleep 0.01; done; exit 5")
    until(lambda: shim.log() == ["last"])
    (shim.folder / "go").touch()
    assert shim.ending()["code"] == 5


def test_what_a_program_leaves_behind_ends_with_it(start: Start) -> None:
    """Children of its group, and daemons that left it, also those that keep its output open."""
    shim = start(*SH, "sleep 600 & echo $!; setsid sleep 601 & echo $!; (setsid sleep 602 & echo $!) ; exit 0")
    assert shim.ending()["code"] == 0
    left = [int(line) for line in shim.log()]
    assert len(left) == 3
    assert not any(map(lives, left))


def test_only_its_program_ends_it_unless_it_is_killed_and_then_the_program_goes_too(start: Start) -> None:
    shim = start(*SH, "while [ ! -e go ]; do sleep 0.01; done; echo on; exec sleep 600")
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        os.kill(shim.ids.shim, number)
    (shim.folder / "go").touch()
    until(lambda: shim.log() == ["on"])
    assert shim.ids.child_alive
    child = shim.ids.child
    os.kill(shim.ids.shim, signal.SIGKILL)
    until(lambda: not lives(child))
    assert not (shim.folder / "exit.json").exists()


def test_a_program_reacts_to_the_signals_that_its_shim_ignores(start: Start) -> None:
    shim = start(*SH, "exec sleep 600")
    os.kill(shim.ids.child, signal.SIGTERM)
    assert shim.ending()["code"] == 128 + signal.SIGTERM


def test_a_second_one_of_the_same_kernel_starts_nothing(start: Start) -> None:
    first = start(*SH, "exec sleep 600")
    before = first.ids
    assert start(*SH, "echo second").said == "running already"
    assert first.ids == before
    assert first.ids.child_alive


def test_a_program_that_cannot_start_is_told_with_the_reason(start: Start) -> None:
    shim = start("/nowhere/program", "x")
    assert shim.said == "/nowhere/program: No such file or directory"
    assert not (shim.folder / "state.json").exists()


def test_a_program_joins_its_control_group_and_starts_without_one_that_cannot_be_joined(
    start: Start, tmp_path: Path
) -> None:
    procs = tmp_path / "cgroup.procs"
    procs.touch()
    start(*SH, "exit 0", group=str(procs)).ending()
    assert procs.read_text() == "0", "the number of the process that writes it"
    (tmp_path / "exit.json").unlink()
    assert start(*SH, "exit 0", group=str(tmp_path / "gone" / "cgroup.procs")).ending()["code"] == 0


def test_a_bound_program_runs_where_it_is_told_and_is_killed_with_its_caller(tmp_path: Path) -> None:
    words = [sys.executable, str(SHIM), "--bound", str(tmp_path), *SH, "pwd; echo $$; exec sleep 600"]
    caller = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-S", "-c", caller, *words], stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        try:
            assert started.stdout.readline().strip() == str(tmp_path)
            bound = int(started.stdout.readline())
            assert lives(bound)
        finally:
            started.kill()
    try:
        until(lambda: not lives(bound))
    finally:
        with suppress(ProcessLookupError):
            os.kill(bound, signal.SIGKILL)
